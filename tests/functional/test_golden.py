"""Values and gradients that the paper authors' implementation recorded."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg_jml import functional
from mmseg_jml.functional import RegionLossOptions
from tests.devices import on_device
from tests.tolerances import RECORDED

boundary_mask = on_device(functional.boundary_mask)
jaccard_metric_loss = on_device(functional.jaccard_metric_loss)

GOLDEN = np.load(Path(__file__).parents[1] / 'data' / 'jaccard_golden.npz')
CASES = json.loads(str(GOLDEN['cases']))


def arrays(case):
    prefix = f'{case["case"]}.'
    return {
        name[len(prefix) :]: torch.from_numpy(GOLDEN[name])
        for name in GOLDEN.files
        if name.startswith(prefix)
    }


def arguments(case, data, dtype):
    names = RegionLossOptions.__dataclass_fields__
    options = {'smooth': 1e-3} | {k: case[k] for k in case if k in names}
    keywords = {'options': RegionLossOptions(**options)}
    if case.get('class_weights'):
        keywords['class_weight'] = torch.tensor(case['class_weights'])
    target = data['label']
    if case['kind'] == 'soft':
        target = data['target'].to(dtype)
        keywords['weight'] = (data['label'] != 255).to(dtype)
    if case['kind'] == 'bls':
        keywords['label_smoothing'] = dict(
            mode='boundary',
            epsilon=case['epsilon'],
            kernel_size=case['kernel_size'],
        )
    return target, keywords


def test_all_cases_are_there():
    assert len(CASES) == 51
    assert {case['kind'] for case in CASES} == {'hard', 'soft', 'bls'}


@pytest.mark.parametrize('dtype', RECORDED, ids=str)
@pytest.mark.parametrize('case', CASES, ids=lambda c: f'{c["case"]}')
def test_value_and_gradient(case, dtype, impl):
    data = arrays(case)
    logits = data['logits'].to(dtype).requires_grad_()
    target, keywords = arguments(case, data, dtype)
    loss = jaccard_metric_loss(logits, target, impl=impl, **keywords)
    loss.backward()
    tolerance = dict(rtol=0, atol=RECORDED[dtype])
    torch.testing.assert_close(loss.double(), data['loss'], **tolerance)
    torch.testing.assert_close(logits.grad.double(), data['grad'], **tolerance)


@pytest.mark.parametrize(
    'case',
    [c for c in CASES if c['kind'] == 'bls'],
    ids=lambda c: f'{c["case"]}',
)
def test_boundary_mask(case):
    data = arrays(case)
    mask = boundary_mask(data['label'], case['kernel_size'])
    assert torch.equal(mask, data['boundary'])
