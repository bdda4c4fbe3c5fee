"""Values and gradients that the paper authors' implementation recorded."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tests.functional.on_device import OPTIONS, loss_and_gradient
from tests.tolerances import RECORDED

GOLDEN = np.load(Path(__file__).parents[1] / 'data' / 'jaccard_golden.npz')
CASES = json.loads(str(GOLDEN['cases']))


def number(case):
    return str(case['case'])


def recorded(case, name):
    return torch.from_numpy(GOLDEN[f'{case["case"]}.{name}'])


def arguments(case, dtype):
    keywords = {'smooth': 1e-3}
    keywords.update((k, case[k]) for k in OPTIONS & {*case})
    if case.get('class_weights'):
        keywords['class_weight'] = torch.tensor(case['class_weights'])
    target = recorded(case, 'label')
    if case['kind'] == 'soft':
        keywords['weight'] = (target != 255).to(dtype)
        target = recorded(case, 'target').to(dtype)
    if case['kind'] == 'bls':
        smoothing = {name: case[name] for name in ('epsilon', 'kernel_size')}
        keywords['label_smoothing'] = dict(smoothing, mode='boundary')
    return target, keywords


def test_all_cases_are_there():
    assert len(CASES) == 51
    assert {case['kind'] for case in CASES} == {'hard', 'soft', 'bls'}


@pytest.mark.parametrize('dtype', RECORDED, ids=str)
@pytest.mark.parametrize('case', CASES, ids=number)
def test_value_and_gradient(case, dtype, impl):
    target, keywords = arguments(case, dtype)
    logits = recorded(case, 'logits').to(dtype)
    found = loss_and_gradient(logits, target, impl=impl, **keywords)
    expected = recorded(case, 'loss'), recorded(case, 'grad')
    found = tuple(value.double() for value in found)
    assert_close(found, expected, rtol=0, atol=RECORDED[dtype])
