"""What `compat` mends on one stack, and that it keeps off the other."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from fractions import Fraction
from importlib.metadata import distributions

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils.dl_utils import mmcv_full_available
from mmseg.registry import MODELS  # noqa: F401 (before what it imports)

import mmseg_jml.compat
from mmseg_jml.compat import training_unpickler
from mmseg_jml.supervision.teacher_checkpoint import load_weights
from tests.tools.run import ROOT, search_path

INSTALLED = {found.metadata['Name'] for found in distributions()}
only_lite = pytest.mark.skipif(
    'mmcv-lite' not in INSTALLED, reason='needs mmcv-lite'
)
only_openmmlab = pytest.mark.skipif(
    'mmengine' not in INSTALLED, reason='needs the OpenMMLab stack'
)
only_onedl = pytest.mark.skipif(
    'onedl-mmengine' not in INSTALLED, reason='needs the OneDL stack'
)


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-c', code],
        env=dict(os.environ, PYTHONPATH=search_path(ROOT)),
        capture_output=True,
        text=True,
    )


@only_lite
def test_mmseg_imports_beside_mmcv_lite_with_the_plugin_alone():
    stock = run('import mmseg.models')
    assert "No module named 'mmcv._ext'" in stock.stderr
    mended = run('import mmseg_jml, mmseg.models')
    assert mended.returncode == 0, mended.stderr


@only_lite
def test_compiled_operator_names_itself_when_called():
    import mmseg  # noqa: F401
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.0]])
    with pytest.raises(RuntimeError, match=r"operator 'nms'.*mmcv==2\.1\.0"):
        nms(boxes, torch.tensor([0.5, 0.9]), 0.5)


@only_lite
def test_operator_in_plain_torch_works_beside_mmcv_lite():
    import mmseg  # noqa: F401
    from mmcv.ops import point_sample

    image = torch.arange(4.0).reshape(1, 1, 2, 2)
    centre_of_last, middle = [0.75, 0.75], [0.5, 0.5]
    points = torch.tensor([[centre_of_last, middle]])
    sampled = point_sample(image, points)
    assert sampled.tolist() == [[[3.0, 1.5]]]


@only_lite
def test_mmengine_still_knows_that_operators_are_missing():
    assert not mmcv_full_available()


# Prints every attribute of the stack's modules that importing the plugin,
# and mmseg after it, gave another value.
CHANGES = """
import sys, torch, mmengine.runner, mmengine.visualization, mmcv.cnn
if {onedl}:
    import mmseg.models, mmseg.datasets, mmseg.engine
def attributes():
    return {{(module, name): id(value)
             for module in list(sys.modules)
             if module.split('.')[0] in
             ('mmengine', 'mmcv', 'mmseg', 'mmpretrain', 'torch', 'numpy')
             for name, value in vars(sys.modules[module]).items()}}
before = attributes()
import mmseg_jml, mmseg
after = attributes()
print([key for key in before if before[key] != after.get(key)
       and key not in (
           ('torch._weights_only_unpickler', '_marked_safe_globals_set'),
           ('torch.serialization', '_weights_only_unpickler'))])
operators = sys.modules.get('mmcv._ext')
print(operators is not None and operators.__spec__.loader is None)
"""


def test_nothing_of_the_stack_is_replaced():
    onedl = 'onedl-mmengine' in INSTALLED
    result = run(CHANGES.format(onedl=onedl))
    *_, changes, stands_in = result.stdout.splitlines()
    assert changes == '[]'
    assert stands_in == str('mmcv-lite' in INSTALLED)


@only_onedl
def test_onedl_is_given_number_types_alone():
    extra = run(
        'import torch, mmengine.runner\n'
        'before = set(torch.serialization.get_safe_globals())\n'
        'import mmseg_jml\n'
        'after = set(torch.serialization.get_safe_globals())\n'
        'print({x.__module__ for x in after - before})'
    )
    # the stack prints lines of its own where an optional package is missing
    assert extra.stdout.splitlines()[-1] == "{'numpy.dtypes'}"


def declared() -> set:
    if hasattr(torch.serialization, 'safe_globals'):
        return set(torch.serialization.get_safe_globals())
    return set(training_unpickler._DECLARED)


def test_apply_can_be_repeated():
    mmseg_jml.compat.apply()
    once = declared()
    mmseg_jml.compat.apply()
    assert declared() == once


@pytest.mark.parametrize(
    'value', [np.float32(61.5), np.float64(61.5), np.int64(7), np.bool_(True)]
)
def test_best_score_loads(tmp_path, strict, value):
    torch.save({'best_score': value}, tmp_path / 'best.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'best.pth'))
    assert loaded == {'best_score': value}
    assert type(loaded['best_score']) is type(value)


def test_log_history_loads(tmp_path, strict):
    history = HistoryBuffer()
    history.update(3.0)
    history.update(1.0)
    torch.save({'loss': history}, tmp_path / 'log.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'log.pth'))
    assert loaded['loss'].data[0].tolist() == [3.0, 1.0]
    assert loaded['loss'].statistics('min') == 1.0


@only_openmmlab
def test_log_history_written_with_the_other_numpy_loads(tmp_path):
    history = HistoryBuffer([3.0], [1])
    torch.save({'loss': history}, tmp_path / 'new.pth')
    with zipfile.ZipFile(tmp_path / 'new.pth') as new:
        files = {name: new.read(name) for name in new.namelist()}
    names = b'numpy._core.', b'numpy.core.'
    if np.__version__ < '2':
        names = names[::-1]
    with zipfile.ZipFile(tmp_path / 'old.pth', 'w') as old:
        for name, content in files.items():
            if name.endswith('data.pkl'):
                assert names[0] in content
                content = content.replace(*names)
            old.writestr(name, content)
    loaded = torch.load(tmp_path / 'old.pth', weights_only=True)
    assert loaded['loss'].data[0].tolist() == [3.0]


def test_foreign_class_is_refused(tmp_path, strict):
    torch.save({'state_dict': {}, 'x': Fraction(1, 2)}, tmp_path / 'x.pth')
    with pytest.raises(pickle.UnpicklingError, match=r'fractions\.Fraction'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'x.pth'))


class Attribute:
    """Is pickled as the attribute of another object."""

    def __init__(self, owner: object, name: str) -> None:
        self.place = owner, name

    def __reduce__(self):
        return getattr, self.place


@only_openmmlab
@pytest.mark.parametrize(
    ('owner', 'name'), [(np.ndarray, 'tofile'), (HistoryBuffer, '__init__')]
)
def test_attribute_of_anything_but_the_log_history_is_refused(
    tmp_path, owner, name
):
    torch.save({'x': Attribute(owner, name)}, tmp_path / 'x.pth')
    with pytest.raises(TypeError, match=f'of HistoryBuffer only.*{name}'):
        torch.load(tmp_path / 'x.pth', weights_only=True)


def test_a_teacher_from_a_run_of_ones_own_loads(tmp_path):
    """Whatever the torch, and without unpickling what is foreign."""
    path, model = tmp_path / 'iter_1.pth', torch.nn.Linear(2, 1)
    checkpoint = dict(
        state_dict=torch.nn.Linear(2, 1).state_dict(),
        message_hub=dict(
            log_scalars={'train/loss': HistoryBuffer([3.0], [1])}
        ),
        meta=dict(dataset_meta=dict(classes=('sky', 'road')), iter=1),
        best=np.float32(61.5),
    )
    torch.save(checkpoint, path)
    assert load_weights(model, str(path)) == ['sky', 'road']
    assert torch.equal(model.weight, checkpoint['state_dict']['weight'])
    torch.save(dict(checkpoint, foreign=Fraction(1, 2)), path)
    with pytest.raises(ValueError, match='which are not loaded'):
        load_weights(model, str(path))
