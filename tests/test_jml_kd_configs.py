"""The configs of the paper's pairs take a step, on small random images."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm

from mmseg_jml.heads import named_heads
from tests.hooks.distillation import build, step
from tests.zoo import catalog, trial

FOLDER = Path(__file__).parents[1] / 'configs/jml_kd'
TEACHERS = sorted(FOLDER.glob('deeplabv3*.py'))
STUDENTS = sorted(FOLDER.glob('kd-jml*.py'))
STOCK = {
    19: 'deeplabv3/deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py',
    21: 'deeplabv3/deeplabv3_r101-d8_4xb4-40k_voc12aug-512x512.py',
}

pytestmark = pytest.mark.filterwarnings('ignore')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Random weights of mmseg's own DeepLabV3-R101 for both data sets."""
    folder = tmp_path_factory.mktemp('weights')
    paths = {}
    for classes, name in STOCK.items():
        cfg = catalog.read(name)
        trial.shrink(cfg, 64)
        model = revert_sync_batchnorm(build(cfg.model))
        paths[classes] = str(folder / f'{classes}.pth')
        torch.save(model.state_dict(), paths[classes])
    return paths


def test_there_are_five_pairs():
    assert len(STUDENTS) == 5
    assert len(TEACHERS) == 2


@pytest.mark.parametrize('path', STUDENTS, ids=lambda path: path.stem)
def test_student_learns_from_mmsegs_teacher(
    path, weights, tmp_path, monkeypatch
):
    classes = Config.fromfile(path).model.decode_head.num_classes
    monkeypatch.setenv('TEACHER', weights[classes])
    cfg = Config.fromfile(path)
    (hook,) = cfg.custom_hooks
    assert hook.checkpoint == weights[classes]
    trial.shrink(cfg, 64)
    log = step(cfg, 64, hook, tmp_path).logs[0]
    assert {name for name in log if 'loss_' in name} == {
        'decode.loss_jml_ce',
        'decode.loss_kd_jml_ce',
        'aux.loss_ce',
        'aux.loss_kd_ce',
    }
    assert torch.tensor(list(log.values())).isfinite().all()


@pytest.mark.parametrize('path', STUDENTS, ids=lambda path: path.stem)
def test_weights_come_from_where_step_1_leaves_them(path, monkeypatch):
    monkeypatch.delenv('TEACHER', raising=False)
    (hook,) = Config.fromfile(path).custom_hooks
    assert Path(hook.teacher).resolve() in TEACHERS
    name = Path(hook.teacher).stem
    assert hook.checkpoint == f'work_dirs/{name}/iter_40000.pth'


@pytest.mark.parametrize('path', STUDENTS, ids=lambda path: path.stem)
def test_losses_weigh_label_and_teacher_alike(path):
    cfg = Config.fromfile(path)
    (hook,) = cfg.custom_hooks
    for head, ours in (
        (cfg.model.decode_head, hook.loss),
        (cfg.model.auxiliary_head, hook.auxiliary_loss),
    ):
        against_label = copy.deepcopy(head.loss_decode)
        assert against_label.pop('label_smoothing', None) is None
        assert against_label == ours


@pytest.mark.parametrize('path', TEACHERS, ids=lambda path: path.stem)
def test_teacher_smooths_boundaries(path):
    cfg = Config.fromfile(path)
    trial.shrink(cfg, 64)
    for head in named_heads(build(cfg.model)).values():
        smoothing = head.loss_decode.label_smoothing
        assert smoothing['mode'] == 'boundary'
