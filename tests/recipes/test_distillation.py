"""Students of recipes learn from their teachers, on small random images."""

import copy
from importlib import import_module
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm

from mmseg_jml.heads import named_heads
from tests.hooks.runs import build, step
from tests.zoo import catalog as stock
from tests.zoo import trial

from . import catalog

STUDENTS = [x for x in catalog.RECIPES if x.stem.startswith('kd-jml_')]
OF_THE_PAPER = [x for x in STUDENTS if x.parent.name == 'jml_kd']
TEACHERS = sorted((catalog.CONFIGS / 'jml_kd').glob('deeplabv3*.py'))
# mmseg's own configs, whose published weights fit the paper's teachers
STOCK = {
    19: 'deeplabv3/deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py',
    21: 'deeplabv3/deeplabv3_r101-d8_4xb4-40k_voc12aug-512x512.py',
}


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Writes random weights of a teacher once; returns where they are."""
    folder, written = tmp_path_factory.mktemp('weights'), {}

    def write(student: Path, classes: int) -> str:
        (hook,) = catalog.config(student).custom_hooks
        path = hook.teacher
        if student in OF_THE_PAPER:
            path = stock.CONFIGS / STOCK[classes]
        if path not in written:
            cfg = Config.fromfile(path)
            cfg.model.pretrained = None
            written[path] = str(folder / f'{len(written)}.pth')
            model = revert_sync_batchnorm(build(cfg.model))
            torch.save(model.state_dict(), written[path])
        return written[path]

    return write


def test_there_are_all_pairs():
    assert len(OF_THE_PAPER) == 5
    assert len(TEACHERS) == 2
    assert len(STUDENTS) == 5 + 2 * 3


OF_VOC = [path for path in STUDENTS if 'voc12aug' in path.stem]


@pytest.mark.parametrize(
    'path', sorted({*OF_THE_PAPER, *OF_VOC}), ids=catalog.name
)
def test_student_learns_from_teacher(path, weights, tmp_path, monkeypatch):
    classes = catalog.config(path).model.decode_head.num_classes
    monkeypatch.setenv('TEACHER', weights(path, classes))
    cfg = Config.fromfile(path)
    (hook,) = cfg.custom_hooks
    assert hook.checkpoint == weights(path, classes)
    trial.shrink(cfg, 56)
    log = step(cfg, 56, hook, tmp_path).logs[0]
    expected = {'decode.loss_jml_ce', 'decode.loss_kd_jml_ce'}
    if 'auxiliary_head' in cfg.model:
        expected |= {'aux.loss_ce', 'aux.loss_kd_ce'}
    assert {name for name in log if 'loss_' in name} == expected
    assert torch.tensor(list(log.values())).isfinite().all()


@pytest.mark.parametrize('path', STUDENTS, ids=catalog.name)
def test_weights_come_from_where_training_leaves_them(path, monkeypatch):
    monkeypatch.delenv('TEACHER', raising=False)
    (hook,) = Config.fromfile(path).custom_hooks
    teacher = Path(hook.teacher).resolve()
    assert teacher in catalog.RECIPES
    assert catalog.dataset(teacher) == catalog.dataset(path)
    length = catalog.config(teacher).train_cfg.max_iters
    assert hook.checkpoint == f'work_dirs/{teacher.stem}/iter_{length}.pth'


@pytest.mark.parametrize('path', STUDENTS, ids=catalog.name)
def test_losses_weigh_label_and_teacher_alike(path):
    cfg = catalog.config(path)
    (hook,) = cfg.custom_hooks
    entries = dict(decode_head='loss', auxiliary_head='auxiliary_loss')
    for head, ours in entries.items():
        if head in cfg.model:
            against_label = copy.deepcopy(cfg.model[head].loss_decode)
            assert against_label.pop('label_smoothing', None) is None
            assert against_label == hook[ours]


def test_recipe_is_what_hooks_do_by_default():
    """In value, whatever the keys are."""
    soft_losses = import_module('mmseg_jml.supervision.soft_losses')
    recipe = Config.fromfile(catalog.CONFIGS / '_base_/losses/jml.py')
    logits = torch.randn(2, 5, 8, 8)
    label = torch.randint(5, (2, 8, 8))
    for ours, default in (
        (recipe.main_loss, soft_losses.MAIN_LOSS),
        (recipe.auxiliary_loss, soft_losses.AUXILIARY_LOSS),
    ):
        losses = [build(entry).cpu() for entry in (ours, default)]
        first, second = (loss(logits, label) for loss in losses)
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize('path', TEACHERS, ids=catalog.name)
def test_teacher_smooths_boundaries(path):
    cfg = Config.fromfile(path)
    trial.shrink(cfg, 64)
    for head in named_heads(build(cfg.model)).values():
        smoothing = head.loss_decode.label_smoothing
        assert smoothing['mode'] == 'boundary'
