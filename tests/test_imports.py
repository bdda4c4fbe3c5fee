"""What importing the package costs, and what it brings to mmseg."""

import ast
import importlib
import inspect
import re

import pytest

import mmseg_jml
from tests.tools import run


def last_line_of(code: str) -> str:
    """Runs code in a process of its own."""
    return run.python('-W', 'ignore', '-c', code).splitlines()[-1]


LOADED = """
print([name for name in ('torch', 'numpy', 'mmengine', 'mmcv', 'mmseg')
       if name in sys.modules])
"""


@pytest.mark.parametrize('room', ['', '.functional', '.kernels', '.losses'])
def test_these_rooms_import_no_framework(room):
    loaded = last_line_of(f'import sys, mmseg_jml{room}\n{LOADED}')
    torch_alone = "['torch', 'numpy']", "['torch']"
    assert loaded in (torch_alone if room else ['[]'])


WITHOUT_MMSEG = """
import sys
for name in ('mmcv', 'mmengine', 'mmseg', 'yaml'):
    sys.modules[name] = None
import torch
from mmseg_jml import (
    JaccardMetricCELoss, JaccardMetricLoss, KLDivergenceLoss)
from mmseg_jml.functional import jaccard_metric_loss
logits = torch.zeros(1, 2, 3, requires_grad=True)
label = torch.zeros(1, 3).long()
losses = [
    jaccard_metric_loss(logits, label),
    JaccardMetricLoss(thres=0.7, class_weight=[1, 1])(logits, label),
    JaccardMetricCELoss(ce_weight=0.5, jml_weight=1)(logits, label),
    KLDivergenceLoss()(logits, torch.tensor([[[.75] * 3, [.25] * 3]])),
]
sum(losses).backward()
print([round(x.item(), 4) for x in losses])
"""


def test_losses_need_torch_alone():
    # by hand: sum min = 1.5, sum max = 3, 1 - 2.5 / 4; beside it 0.5 log 2;
    # log 2 less the entropy of (0.75, 0.25), 0.5623
    assert last_line_of(WITHOUT_MMSEG) == '[0.375, 0.375, 0.7216, 0.1308]'


OLD_TORCH = """
import sys, types
old = types.ModuleType('torch')
old.__version__ = '{version}'
sys.modules['torch'] = old
try:
    import mmseg_jml
    print('imported')
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ('version', 'said'),
    [
        ('1.13.1+cu117', 'Expected torch 2.0 or later.* got torch 1.13.1'),
        ('2.0.0a0+git', 'imported'),
        ('2.2.0', 'imported'),
    ],
)
def test_a_torch_that_is_too_old_is_named(version, said):
    assert re.match(said, last_line_of(OLD_TORCH.format(version=version)))


SHORT_NAMES = """
from mmseg import registry
names = dict(
    DATASETS='DeepGlobeLandDataset', HOOKS='PseudoLabelHook',
    METRICS='CalibrationMetric', MODELS='AveragingTTAModel KLDivergenceLoss',
    OPTIM_WRAPPER_CONSTRUCTORS='FlatDecayConstructor',
    TRANSFORMS='LoadSoftLabels')
found = [getattr(registry, kind).get(name)
         for kind, text in names.items() for name in text.split()]
import logging, sys, mmseg.models
assert logging.getLogger('mmseg_jml').handlers
print(*[cls.__module__.split('.')[0] for cls in found])
"""


@pytest.mark.parametrize(
    'first',
    [
        'import mmseg_jml',
        'import mmseg, mmseg_jml',
        'import mmseg_jml.registry',
        'import mmseg_jml.cli',
        'import mmseg_jml.supervision.teacher',
        'import mmseg_jml.supervision.pseudo_labels',
        'import mmseg_jml.head_resolution.losses',
        'from mmseg_jml import CalibrationMetric',
        'from mmseg_jml.datasets import DeepGlobeLandDataset',
        'from mmengine.registry import MODELS\n'
        "assert MODELS.get('mmseg_jml.JaccardMetricCELoss')",
        'import importlib.util, mmseg_jml\n'
        "assert importlib.util.find_spec('mmseg')",
    ],
)
def test_mmseg_knows_all_short_names(first):
    assert last_line_of(first + SHORT_NAMES) == ' '.join(['mmseg_jml'] * 7)


CHECKPOINT = """
import sys, tempfile, torch, mmseg_jml
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
with tempfile.NamedTemporaryFile(suffix='.pth') as file:
    torch.save(dict(log=HistoryBuffer([3.0], [1])), file.name)
    loaded = CheckpointLoader.load_checkpoint(file.name)
print(loaded['log'].current(), 'mmseg' in sys.modules)
"""


def test_checkpoints_of_mmengine_load_without_mmseg():
    assert last_line_of(CHECKPOINT) == '3.0 False'


def test_losses_hooks_and_metrics_are_offered_by_the_package():
    assert len(mmseg_jml.__all__) <= 15
    for room in ('hooks', 'losses', 'metrics'):
        module = importlib.import_module(f'mmseg_jml.{room}')
        for name in module.__all__:
            assert getattr(mmseg_jml, name) is getattr(module, name)
            assert name in mmseg_jml.__all__
            assert name in dir(mmseg_jml)


def test_type_checkers_see_what_the_package_offers():
    """The imports for them are the classes that it imports on demand."""
    source = inspect.getsource(mmseg_jml)
    (block,) = (x for x in ast.parse(source).body if isinstance(x, ast.If))
    seen = {
        alias.name: node.module for node in block.body for alias in node.names
    }
    assert seen == mmseg_jml._ROOM_OF
    assert {*mmseg_jml.__all__} == {*seen, '__version__'}


def test_unknown_names_are_attribute_errors():
    assert not hasattr(mmseg_jml, 'JaccardLoss')
    with pytest.raises(ImportError, match="cannot import name 'JaccardLoss'"):
        from mmseg_jml import JaccardLoss  # noqa: F401
