"""Teachers that are frozen, warm up, and thresholds that move."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS

from tests.tolerances import LOGGED

from .distillation import (
    OTHER_COLOURS,
    Lessons,
    assert_same,
    build,
    forward,
    load,
    read_teacher,
    train,
    wider,
    write_teacher,
)
from .semi import PLAIN, PSEUDO, THRESHOLD, certain, learn, unlabeled
from .test_pseudo_label_gradients import not_padded


def frozen(paths: dict) -> dict:
    return dict(config=paths['teacher'], checkpoint=paths['checkpoint'])


def test_frozen_teacher_labels_as_its_own_config_says(cfg, pictures, tmp_path):
    """Another architecture, other colours; it is in no checkpoint."""
    paths = write_teacher(tmp_path, wider(cfg.model, **OTHER_COLOURS))
    lessons = Lessons()
    _, steps = learn(
        cfg,
        pictures,
        lessons,
        teacher=frozen(paths),
        soft=False,
        threshold=THRESHOLD,
        **PLAIN,
    )
    master = read_teacher(paths)
    mean, std = (
        torch.tensor(OTHER_COLOURS[key]).view(3, 1, 1).to(get_device())
        for key in ('mean', 'std')
    )
    for t, images in enumerate(steps.images):
        rgb = (images * 64 + 128).flip(1)
        with torch.no_grad():
            known = forward(master, (rgb - mean) / std)[0].softmax(1)
        confidence, label = known.max(1)
        valid = not_padded(images, steps.samples[t])
        target = lessons.found[t].targets['decode']
        keep = valid & (confidence >= THRESHOLD)
        assert 0 < keep.sum() < keep.numel()
        assert torch.equal(target.weight > 0, keep)
        assert torch.equal(target.target.label[keep], label[keep])
    saved = load(f'{cfg.work_dir}/iter_3.pth')
    assert not [key for key in saved if key.startswith('pseudo_label')]


def test_frozen_teacher_of_other_classes(cfg, pictures, tmp_path):
    paths = write_teacher(tmp_path, cfg.model, classes=('a', 'b', 'c'))
    hook = dict(
        type=PSEUDO,
        unlabeled_dataloader=unlabeled(pictures),
        teacher=frozen(paths),
    )
    with pytest.raises(ValueError, match=r'got one of a, b, c.*check_classes'):
        train(cfg, hook)
    assert train(cfg, dict(hook, check_classes=False)).logs


@pytest.mark.parametrize('kind', ['ema', 'self'])
def test_warm_up_learns_from_labels_alone(cfg, pictures, kind):
    """As a run whose pseudo labels do not count, bit by bit."""
    cfg.train_cfg.max_iters = 5
    options = dict(teacher=kind, momentum=0.6, threshold=0.0)
    warm, steps = learn(cfg, pictures, warm_up=3, **options)
    plain, silent = learn(cfg, pictures, loss_weight=0.0, **options)
    assert warm.logs[:3] == plain.logs[:3]
    for one, two in zip(steps.states[:3], silent.states):
        assert_same(one, two)
    terms = ['decode.loss_pseudo_jml_ce' in log for log in warm.logs]
    assert terms == [False, False, False, True, True]
    assert len(steps.images) == 2
    if kind == 'self':
        return
    for one, two in zip(steps.states[:3], steps.teachers):
        assert_same(one, two)
    expected = steps.states[2]
    for t, ratio in ((3, 0.5), (4, 0.6)):
        expected = {
            name: torch.lerp(value, expected[name], ratio)
            if value.is_floating_point()
            else value
            for name, value in steps.states[t].items()
        }
        for name, value in steps.teachers[t].items():
            if value.is_floating_point():
                torch.testing.assert_close(value, expected[name])


def test_threshold_follows_the_confidence_of_classes(cfg, pictures):
    """The first step against a loop over classes; fixed: the same numbers."""
    certain(cfg)
    start, momentum = THRESHOLD, 0.5
    adaptive = dict(type='adaptive', start=start, momentum=momentum)
    record, steps = learn(cfg, pictures, threshold=adaptive)
    student = build(cfg.model).eval()
    student.load_state_dict(record.start)
    with torch.no_grad():
        known = forward(student, steps.images[0])[0].softmax(1)
    confidence, label = known.max(1)
    valid = not_padded(steps.images[0], steps.samples[0])
    highest = [
        confidence[valid & (label == c)].max().item()
        for c in range(3)
        if (valid & (label == c)).any()
    ]
    expected = momentum * start + (1 - momentum) * sum(highest) / len(highest)
    log = record.logs[0]
    assert log['pseudo_threshold'] == pytest.approx(expected, rel=LOGGED)
    share = (valid & (confidence >= expected)).sum() / valid.sum()
    assert log['pseudo_confident'] == pytest.approx(float(share), abs=1e-3)
    logged = [log['pseudo_threshold'] for log in record.logs]
    assert len({*logged}) == 3
    saved = load(f'{cfg.work_dir}/iter_3.pth')['pseudo_label_threshold']
    assert float(saved) == logged[-1]

    constant = dict(adaptive, momentum=1.0)
    same, _ = learn(cfg, pictures, threshold=constant)
    fixed, _ = learn(cfg, pictures, threshold=start)
    for one, two in zip(same.logs, fixed.logs):
        assert one.pop('pseudo_threshold') == pytest.approx(start)
        assert one == two


@OPTIM_WRAPPERS.register_module()
class OverflowWrapper(OptimWrapper):
    """Scales losses as AMP does; the gradients of step 1 are infinite."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self._scaler = torch.amp.GradScaler(get_device(), init_scale=1.0)

    def backward(self, loss, **options):
        loss = loss * (float('inf') if self._inner_count == 1 else 1.0)
        self._scaler.scale(loss).backward(**options)
        self._inner_count += 1

    def step(self, **options):
        self._scaler.step(self.optimizer, **options)
        self._scaler.update()


def test_steps_that_amp_skips_do_not_count(cfg, pictures):
    cfg.optim_wrapper.type = 'OverflowWrapper'
    _, steps = learn(cfg, pictures, momentum=0.9)
    name = 'decode_head.conv_seg.weight'
    first, skipped, last = (state[name] for state in steps.states)
    assert torch.equal(first, skipped)
    assert not torch.equal(first, last)
    saved = load(f'{cfg.work_dir}/iter_3.pth')['pseudo_label_teacher']
    assert saved['steps'] == 2
    assert_same(steps.teachers[0], steps.teachers[1])
    torch.testing.assert_close(steps.teachers[2][name], (first + last) / 2)


def test_accuracy_is_that_of_the_confident_pixels(cfg, pictures):
    certain(cfg)
    loader = dict(dataset=copy.deepcopy(dict(cfg.train_dataloader.dataset)))
    loader['dataset'].pop('pipeline')
    record, steps = learn(
        cfg, pictures, unlabeled_dataloader=loader, threshold=THRESHOLD
    )
    student = build(cfg.model).eval()
    student.load_state_dict(record.start)
    with torch.no_grad():
        known = forward(student, steps.images[0])[0].softmax(1)
    confidence, label = known.max(1)
    truth = torch.cat([s.gt_sem_seg.data for s in steps.samples[0]])
    keep = (confidence >= THRESHOLD) & (truth < 3)
    expected = 100 * (label == truth)[keep].float().mean().item()
    assert record.logs[0]['pseudo_accuracy'] == pytest.approx(expected)
