"""What `compat` mends on one stack, and that it keeps off the other."""

import pickle
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
from tests.tools.run import apart

INSTALLED = {found.metadata['Name'] for found in distributions()}


def only_with(name: str):
    reason = f'needs {name}'
    return pytest.mark.skipif(name not in INSTALLED, reason=reason)


only_lite = only_with('mmcv-lite')
only_openmmlab = only_with('mmengine')
only_onedl = only_with('onedl-mmengine')


def run(code: str):
    return apart(sys.executable, '-c', code)


@only_lite
def test_mmseg_imports_beside_mmcv_lite_with_the_plugin_alone():
    stock = run('import mmseg.models')
    assert "No module named 'mmcv._ext'" in stock.stderr
    mended = run('import mmseg_jml, mmseg.models')
    assert mended.returncode == 0, mended.stderr


@only_lite
def test_operators_beside_mmcv_lite():
    """What is compiled names itself; what is plain torch works."""
    import mmseg  # noqa: F401
    from mmcv.ops import nms, point_sample

    assert not mmcv_full_available()
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.0]])
    with pytest.raises(RuntimeError, match=r"operator 'nms'.*mmcv==2\.1\.0"):
        nms(boxes, torch.tensor([0.5, 0.9]), 0.5)
    image = torch.arange(4.0).reshape(1, 1, 2, 2)
    centre_of_last, middle = [0.75, 0.75], [0.5, 0.5]
    points = torch.tensor([[centre_of_last, middle]])
    assert point_sample(image, points).tolist() == [[[3.0, 1.5]]]


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


@pytest.fixture
def saved(tmp_path):
    """Saves a checkpoint; returns its path."""

    def saved(**content) -> str:
        torch.save(content, tmp_path / 'saved.pth')
        return str(tmp_path / 'saved.pth')

    return saved


@pytest.mark.parametrize(
    'value', [np.float32(61.5), np.float64(61.5), np.int64(7), np.bool_(True)]
)
def test_best_score_loads(saved, strict, value):
    loaded = CheckpointLoader.load_checkpoint(saved(best_score=value))
    assert loaded == {'best_score': value}
    assert type(loaded['best_score']) is type(value)


def test_log_history_loads(saved, strict):
    history = HistoryBuffer()
    history.update(3.0)
    history.update(1.0)
    loaded = CheckpointLoader.load_checkpoint(saved(loss=history))
    assert loaded['loss'].data[0].tolist() == [3.0, 1.0]
    assert loaded['loss'].statistics('min') == 1.0


@only_openmmlab
def test_log_history_written_with_the_other_numpy_loads(saved, tmp_path):
    with zipfile.ZipFile(saved(loss=HistoryBuffer([3.0], [1]))) as new:
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


def test_foreign_class_is_refused(saved, strict):
    path = saved(state_dict={}, x=Fraction(1, 2))
    with pytest.raises(pickle.UnpicklingError, match=r'fractions\.Fraction'):
        CheckpointLoader.load_checkpoint(path)


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
    saved, owner, name
):
    path = saved(x=Attribute(owner, name))
    with pytest.raises(TypeError, match=f'of HistoryBuffer only.*{name}'):
        torch.load(path, weights_only=True)
