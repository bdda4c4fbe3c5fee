"""Learning from unlabelled images beside other hooks, AMP and evaluation."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.device import get_device
from PIL import Image

from mmseg_jml.hooks import pseudo_label_hook as module
from mmseg_jml.hooks import soft_label_visualization_hook as drawing
from tests.devices import move
from tests.drawing import drawn_by
from tests.tools import run

from .distillation import (
    KD,
    build,
    forward,
    load,
    train,
)
from .kinds import change
from .semi import PLAIN, PSEUDO, THRESHOLD, certain, learn, unlabeled


@pytest.mark.parametrize('first', ['pseudo', 'kd'])
def test_distillation_and_average(cfg, teacher, pictures, first):
    certain(cfg)
    distil = dict(type=KD, label_weight=1.0, **teacher)
    semi = dict(
        type=PSEUDO,
        unlabeled_dataloader=unlabeled(pictures),
        threshold=THRESHOLD,
    )
    ema = dict(type='EMAHook')
    alone = train(cfg, distil).logs[0]
    semi_alone = train(cfg, semi).logs[0]
    hooks = (semi, distil) if first == 'pseudo' else (distil, semi)
    record = train(cfg, *hooks, ema)
    log = record.logs[0]
    for name, value in alone.items():
        if 'loss_kd' in name:
            assert log[name] == value
    for name, value in semi_alone.items():
        if name != 'loss':  # which lacks the teacher's terms
            assert log[name] == value, name
    terms = {name for name in log if 'loss' in name} - {'loss'}
    assert len(terms) == 6
    assert log['loss'] == pytest.approx(sum(log[name] for name in terms))
    checkpoint = load(f'{cfg.work_dir}/iter_3.pth')
    states = [
        checkpoint['state_dict'],  # EMAHook puts its average here
        checkpoint['ema_state_dict'],
        checkpoint['pseudo_label_teacher'],
    ]
    biases = [
        next(v for k, v in state.items() if k.endswith('head.conv_seg.bias'))
        for state in states
    ]
    for one, two in itertools.combinations(biases, 2):
        assert not torch.equal(one, two)
    assert not record.model._forward_hooks


@pytest.mark.parametrize('kind', ['ema', 'self'])
def test_teacher_runs_in_the_precision_of_the_student(
    cfg, pictures, monkeypatch, kind
):
    def keep(teacher, inputs, *args):
        found.append((inputs, label(teacher, inputs, *args)))
        return found[-1][1]

    found, label = [], module.label_views
    monkeypatch.setattr(module, 'label_views', keep)
    certain(cfg)
    exact, _ = learn(cfg, pictures, teacher=kind, threshold=THRESHOLD)
    change(cfg, 'AMP')
    half, _ = learn(cfg, pictures, teacher=kind, threshold=THRESHOLD)
    logits, rough = found[0][1].logits, found[3][1].logits
    assert torch.equal(found[0][0], found[3][0])
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, logits)
    assert (rough - logits).abs().mean() < 0.05
    for g in half.gradients:
        assert all(value.isfinite().all() for value in g.values())
    # a cast that was cached without gradient would leave zeros
    for name, g in half.gradients[0].items():
        one, two = g.flatten(), exact.gradients[0][name].flatten()
        assert torch.cosine_similarity(one, two, 0) > 0.9, name


def with_evaluation(cfg):
    """Adds validation and test on the labelled images."""
    load_, label = (
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
    )
    dataset = dict(cfg.train_dataloader.dataset)
    dataset['pipeline'] = [load_, label, dict(type='PackSegInputs')]
    sampler = dict(type='DefaultSampler', shuffle=False)
    for split, loop in (('val', 'ValLoop'), ('test', 'TestLoop')):
        cfg[f'{split}_dataloader'] = dict(dataset=dataset, sampler=sampler)
        cfg[f'{split}_evaluator'] = dict(
            type='IoUMetric', iou_metrics=['mIoU']
        )
        cfg[f'{split}_cfg'] = dict(type=loop)
    cfg.train_cfg.val_interval = 3


def miou_by_hand(model, folder: Path) -> float:
    """Over all pixels of all images, in percent."""
    hits, total = np.zeros(3), np.zeros(3)
    for path in sorted((folder / 'images').glob('*.png')):
        pixels = np.array(Image.open(path)).astype(np.float32)
        inputs = torch.tensor(pixels[..., ::-1].copy()).permute(2, 0, 1)
        with torch.no_grad():
            inputs = ((inputs[None] - 128) / 64).to(get_device())
            logits = forward(model, inputs)[0].cpu()
        found = logits.argmax(1)[0].numpy()
        truth = np.array(Image.open(folder / 'masks' / path.name))
        for c in range(3):
            hits[c] += ((found == c) & (truth == c)).sum()
            total[c] += ((found == c) | (truth == c)).sum()
    return 100 * (hits / total).mean()


def test_evaluation_of_student_and_teacher(
    cfg, pictures, tmp_path, monkeypatch
):
    certain(cfg)
    with_evaluation(cfg)
    cfg.default_hooks.checkpoint.save_best = 'teacher/mIoU'
    cfg.custom_hooks.append(
        dict(
            type=PSEUDO,
            unlabeled_dataloader=unlabeled(pictures),
            momentum=0.5,
            evaluate_teacher=True,
        )
    )
    record = train(cfg)
    path = f'{cfg.work_dir}/iter_3.pth'
    checkpoint = load(path)
    expected = []
    state = checkpoint['pseudo_label_teacher']
    del state['steps']
    averaged = {k.removeprefix('module.'): v for k, v in state.items()}
    for weights in (checkpoint['state_dict'], averaged):
        model = build(cfg.model).eval()
        model.load_state_dict(weights)
        expected.append(miou_by_hand(model, tmp_path / 'noise'))
    assert expected[0] != pytest.approx(expected[1], abs=0.02)

    logged = record.runner.message_hub.log_scalars
    for name, value in zip(('mIoU', 'teacher/mIoU'), expected):
        found = logged[f'val/{name}'].current()
        assert found == pytest.approx(value, abs=0.01)
    assert Path(cfg.work_dir, 'best_teacher_mIoU_iter_3.pth').exists()

    cfg.dump(tmp_path / 'config.py')
    run.here(
        monkeypatch, 'test.py', tmp_path / 'config.py', path,
        '--work-dir', tmp_path / 'tested',
    )  # fmt: skip
    (log,) = (tmp_path / 'tested').glob('*/*.log')
    text = log.read_text()
    assert f'teacher/mIoU: {expected[1]:.2f}' in text
    assert f' mIoU: {expected[0]:.2f}' in text


def test_checkpoint_without_a_teacher_to_evaluate(cfg, pictures, tmp_path):
    with_evaluation(cfg)
    train(cfg)
    cfg.load_from = f'{cfg.work_dir}/iter_3.pth'
    cfg.work_dir = str(tmp_path / 'tested')
    cfg.custom_hooks.append(
        dict(
            type=PSEUDO,
            unlabeled_dataloader=unlabeled(pictures),
            evaluate_teacher=True,
        )
    )
    metrics = module.Runner.from_cfg(cfg).test()
    assert 'mIoU' in metrics
    assert 'teacher/mIoU' not in metrics
    (log,) = Path(cfg.work_dir).glob('*/*.log')
    assert 'no mean teacher to evaluate' in log.read_text()


def test_pictures_of_pseudo_labels(cfg, pictures, monkeypatch):
    """The student's image, the teacher's probabilities, what counts."""

    def keep(found, palette):
        shown.append(move(found, 'cpu'))
        return draw(found, palette)

    shown, draw = [], drawing.draw_soft_labels
    monkeypatch.setattr(drawing, 'draw_soft_labels', keep)
    certain(cfg)
    drawn = drawn_by(cfg)
    show = dict(type='mmseg_jml.SoftLabelVisualizationHook', interval=2)
    record, steps = learn(cfg, pictures, show, threshold=THRESHOLD, **PLAIN)
    assert set(drawn) == {
        (f'soft_label_{head}_pseudo', step)
        for head in ('decode', 'aux')
        for step in (1, 3)
    }
    student = build(cfg.model).eval()
    student.load_state_dict(record.start)
    with torch.no_grad():
        known = forward(student, steps.images[0])[0].softmax(1).cpu()
    images = steps.images[0].cpu()
    for picture, image, soft, sample in zip(
        shown[0], images, known, steps.samples[0]
    ):
        height, width = sample.img_shape
        torch.testing.assert_close(picture.soft, soft)
        counts = picture.weight[:height, :width] > 0
        sure = soft.max(0).values[:height, :width] >= THRESHOLD
        assert torch.equal(counts, sure)
        assert picture.weight.sum() == counts.sum()  # no padding
        rgb = (image.flip(0).permute(1, 2, 0) * 64 + 128).numpy()
        np.testing.assert_allclose(
            picture.image[:height, :width], rgb[:height, :width], atol=1
        )
