"""What a student is compared with, step by step of a real run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from .distillation import (
    KD,
    OTHER_COLOURS,
    Lessons,
    forward,
    read_teacher,
    train,
    wider,
    write_teacher,
)
from .kinds import change


def targets_of(cfg, **hook):
    """The targets of the first step, with what they were made from."""
    cfg.train_cfg.max_iters = 1
    lessons = Lessons()
    record = train(cfg, dict(type=KD, **hook), lessons)
    ((student, targets, _),) = lessons.found
    return record, student.inputs, student.outputs, targets


@pytest.mark.parametrize('amp', [None, 'bfloat16'])
def test_autocast_of_the_student_is_not_the_teachers(cfg, teacher, amp):
    change(cfg, 'AMP')
    record, inputs, outputs, targets = targets_of(
        cfg, amp=amp, temperature=3.0, **teacher
    )
    assert outputs['decode'].logits.dtype == torch.bfloat16
    exact = forward(read_teacher(teacher), inputs)
    for name, logits in zip(('decode', 'aux'), exact):
        value = targets[name].target.value
        assert value.dtype == torch.float32
        if amp is None:
            assert torch.equal(value, logits)
        else:
            assert not torch.equal(value, logits)
            assert (value - logits).abs().mean() < 0.05
    assert torch.tensor(list(record.logs[0].values())).isfinite().all()
    assert all(g.isfinite().all() for g in record.gradients[0].values())


def test_ensemble_is_the_mean_probability(cfg, tmp_path):
    paths = [
        write_teacher(tmp_path, wider(cfg.model, **OTHER_COLOURS), seed=2),
        write_teacher(tmp_path, cfg.model, seed=3),
    ]
    _, inputs, outputs, targets = targets_of(
        cfg,
        teacher=[path['teacher'] for path in paths],
        checkpoint=[path['checkpoint'] for path in paths],
        temperature=2.0,
    )
    raw = inputs * 64 + 128
    mean, std = (
        torch.tensor(OTHER_COLOURS[key]).view(-1, 1, 1).to(raw)
        for key in ('mean', 'std')
    )
    views = (raw.flip(1) - mean) / std, inputs
    answers = [
        forward(read_teacher(path), view) for path, view in zip(paths, views)
    ]
    for name, pair in zip(('decode', 'aux'), zip(*answers)):
        expected = sum((logits / 2).softmax(1) for logits in pair) / 2
        value = targets[name].target.dense(3, torch.float32)
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_one_config_serves_several_checkpoints(cfg, tmp_path):
    paths = [write_teacher(tmp_path, cfg.model, seed) for seed in (2, 3)]
    _, inputs, _, targets = targets_of(
        cfg,
        teacher=paths[0]['teacher'],
        checkpoint=[path['checkpoint'] for path in paths],
    )
    answers = [forward(read_teacher(path), inputs)[0] for path in paths]
    torch.testing.assert_close(
        targets['decode'].target.dense(3, torch.float32),
        sum(logits.softmax(1) for logits in answers) / 2,
    )


def test_ignored_pixels_and_padding_do_not_count(cfg, teacher, tmp_path):
    cfg.model.data_preprocessor.size = (40, 36)
    mask = np.array(Image.open(tmp_path / 'noise/masks/0.png'))
    for i in range(10):
        mask[10:20] = 255
        Image.fromarray(mask).save(tmp_path / f'noise/masks/{i}.png')
    _, _, outputs, targets = targets_of(cfg, **teacher)
    label, weight = outputs['decode'].label, targets['decode'].weight
    assert torch.equal(weight, (label != 255).float())
    assert not weight[:, 32:].any()
    assert not weight[:, :, 32:].any()
    assert 0 < weight[:, :32, :32].mean() < 1
