"""Runs with losses at the resolution of the heads, beside runs without."""

import sys
from functools import partial

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS, MODELS

from mmseg_jml.heads import named_heads, unwrapped
from mmseg_jml.hooks import HeadResolutionHook
from mmseg_jml.losses import JaccardMetricLoss
from tests.processes import (
    assert_same_everywhere,
    distribute,
    run_in_processes,
)
from tests.tolerances import (
    AUTOCAST,
    MIOU_LATER,
    TWO_WAYS,
    WEIGHTS_LATER,
)

from . import runs, semi


@HOOKS.register_module()
class UntieHook(Hook):
    """Lets no two classes have the same logit where all features are 0.

    There mmseg's accuracy takes any of them.
    """

    def before_train(self, runner):
        for head in named_heads(unwrapped(runner.model)).values():
            head.conv_seg.bias.data = torch.tensor([0.01, 0.02, 0.03])


@pytest.fixture
def cfg(cfg):
    """Logits of the half and the fourth of the label's sides."""
    cfg.custom_hooks.append(dict(type='UntieHook'))
    cfg.model.decode_head.update(in_index=1, in_channels=8)
    cfg.model.auxiliary_head.update(in_index=0, in_channels=16)
    return cfg


def compare(with_hook, without, tolerance=TWO_WAYS):
    """Losses of all steps, and the gradients of the first."""
    assert len(with_hook.logs) == len(without.logs) > 1
    for ours, theirs in zip(with_hook.logs, without.logs):
        assert ours.keys() - theirs == {'decode.ce', 'decode.jml'}
        assert [name for name in ours if name in theirs] == list(theirs)
        for name, value in theirs.items():
            if name == 'teacher_mIoU':  # of the pixels of small logits
                continue
            assert ours[name] == pytest.approx(value, rel=tolerance), name
    ours, theirs = with_hook.gradients[0], without.gradients[0]
    assert ours.keys() == theirs.keys()
    scale = max(float(value.abs().max()) for value in theirs.values())
    allowed = dict(rtol=tolerance, atol=tolerance * scale)
    torch.testing.assert_close(ours, theirs, **allowed)


@pytest.mark.filterwarnings('ignore:torch.utils.checkpoint')
@pytest.mark.parametrize('kind', ['plain', 'accumulation', 'AMP', 'with_cp'])
def test_losses_and_gradients_are_the_same(cfg, monkeypatch, kind):
    runs.set_up(cfg, kind)
    resized = resizes(monkeypatch)
    theirs = runs.train(cfg)
    assert {*resized} == {(32, 32)}
    resized.clear()
    # the stock path rounds the resized logits once more
    tolerance = AUTOCAST if kind == 'AMP' else TWO_WAYS
    compare(runs.train(cfg, runs.HEAD_RESOLUTION), theirs, tolerance)
    assert resized == []


def test_log_names_heads_and_reasons(cfg):
    sampler = dict(type='OHEMPixelSampler', thresh=0.7, min_kept=100)
    cfg.model.auxiliary_head.sampler = sampler
    runs.train(cfg, runs.HEAD_RESOLUTION)
    text = runs.log_text(cfg)
    assert "decode (FCNHead): losses at the head's resolution\n" in text
    assert (
        "aux (FCNHead): losses at the label's resolution, because "
        'OHEMPixelSampler samples its pixels\n' in text
    )


def resizes(monkeypatch):
    """Sizes of all logits that mmseg's heads resize from now on."""

    def keep(*args, **kwargs):
        resized.append(kwargs['size'])
        return resize(*args, **kwargs)

    resized, module = [], 'mmseg.models.decode_heads.decode_head'
    resize = sys.modules[module].resize
    monkeypatch.setattr(f'{module}.resize', keep)
    return resized


@MODELS.register_module()
class FullSizeLoss(JaccardMetricLoss):
    """A loss of a user, which knows nothing of smaller logits."""

    def forward(self, pred, target, weight=None, **kwargs):
        assert pred.shape[2:] == weight.shape[1:] == target.value.shape[2:]
        assert not kwargs
        return super().forward(pred, target, weight)


KD_LOSSES = {
    'JML and CE': dict(type='mmseg_jml.JaccardMetricCELoss'),
    'KL': dict(type='mmseg_jml.KLDivergenceLoss'),
    'of a user': dict(type='FullSizeLoss'),
}


@pytest.mark.parametrize('loss', KD_LOSSES)
@pytest.mark.parametrize('teachers', [1, 2])
def test_distillation(cfg, tmp_path, monkeypatch, loss, teachers):
    model = runs.wider(cfg.model)
    model.decode_head.update(in_channels=12, align_corners=True)
    model.auxiliary_head.update(in_channels=24)
    paths = runs.write_teacher(tmp_path, model)
    paths['checkpoint'] = teachers * [paths['checkpoint']]
    kd = runs.distil(paths, loss=KD_LOSSES[loss], temperature=2.0)
    theirs = runs.train(cfg, kd)
    resized, lessons = resizes(monkeypatch), runs.Lessons()
    compare(runs.train(cfg, kd, runs.HEAD_RESOLUTION, lessons), theirs)
    assert resized == []
    assert len(lessons.found) == 3
    sizes = {True: (16, 16), False: (32, 32)}
    for student, targets, _ in lessons.found:
        logits = student.outputs['decode'].logits
        small = loss != 'of a user'
        assert logits.shape[2:] == sizes[small]
        value = targets['decode'].target.value
        assert value.shape[2:] == sizes[small and teachers == 1]


def test_pseudo_labels(cfg, pictures, monkeypatch):
    semi.certain(cfg)
    hook = semi.pseudo(pictures, threshold=0.5)
    theirs = runs.train(cfg, hook)
    resized = resizes(monkeypatch)
    compare(runs.train(cfg, hook, runs.HEAD_RESOLUTION), theirs)
    # those of the teacher, which are pasted pixel by pixel
    assert resized == 3 * [(32, 32)]


def classes(runner) -> list:
    return [type(module) for module in runner.model.modules()]


def test_methods_do_not_pile_up_after_a_run_that_died(cfg):
    runner, hook = Runner.from_cfg(cfg), HeadResolutionHook()
    stock = classes(runner)
    hook.before_train(runner)
    hook.before_train(runner)
    hook.after_train(runner)
    assert classes(runner) == stock


def test_beside_an_average_and_validation(cfg):
    """The average's checkpoint and mIoU are those of a run without."""
    cfg = runs.with_evaluation(cfg)
    cfg.train_cfg.val_interval = 2
    checkpoints, mious = [], []
    for hooks in ([runs.HEAD_RESOLUTION], []):
        record = runs.train(cfg, dict(type='EMAHook'), *hooks)
        scalars = record.runner.message_hub.get_scalar('val/mIoU')
        checkpoints.append(runs.load(f'{cfg.work_dir}/iter_3.pth'))
        mious.append(scalars.current())
    ours, theirs = checkpoints
    assert ours.keys() == theirs.keys()
    for part in ('state_dict', 'ema_state_dict'):
        torch.testing.assert_close(
            dict(ours[part]), dict(theirs[part]), **WEIGHTS_LATER
        )
    assert mious[0] == pytest.approx(mious[1], abs=MIOU_LATER)


def in_step(cfg, rank):
    cfg.train_cfg.max_iters = 2
    distribute(cfg, find_unused_parameters=True)
    for sync in (False, True):
        cfg.model.decode_head.loss_decode.sync = sync
        ours = runs.train(cfg, runs.HEAD_RESOLUTION)
        compare(ours, runs.train(cfg))
        assert_same_everywhere(dict(ours.model.named_parameters()))


def test_two_processes(cfg, tmp_path):
    run_in_processes(partial(in_step, cfg), tmp_path)
