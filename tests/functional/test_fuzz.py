"""Random batches: every value and gradient is finite, or clearly refused."""

import itertools
import random

import pytest
import torch

from mmseg_jml.functional import RegionLossOptions, jaccard_metric_loss
from mmseg_jml.kernels import TeacherLogits

BATCHES = 1500  # of four parts


def draw_options(rng):
    """Options of the region loss, with None where they are refused."""
    options = dict(
        alpha=rng.choice([0, 0.5, 1, 2]),
        beta=rng.choice([0, 0.5, 1, 2]),
        gamma=rng.choice([1, 1, 1.5, 3]),
        smooth=rng.choice([0, 0, 1e-3, 1]),
        norm=rng.choice([1, 1, 1, 2, 1.5, 3]),
        log_loss=rng.random() < 0.2,
        variant=rng.choice(['jml1', 'jml2']),
        mIoUD=rng.choice([0, 1]),
        mIoUI=rng.choice([0, 0, 0.5]),
        mIoUC=rng.choice([0, 0, 0.5]),
        active_classes_mode_hard=rng.choice(['ALL', 'PRESENT', 'BOTH', [0]]),
        active_classes_mode_soft=rng.choice(['ALL', 'PRESENT', 'PROB']),
    )
    try:
        return RegionLossOptions(**options)
    except ValueError:
        return None


def draw_batch(rng, generator):
    """Logits, a target, pixel weights and the rest of the arguments."""
    images, classes = rng.randint(1, 3), rng.randint(2, 7)
    low = rng.randint(1, 5), rng.randint(1, 5)
    ratio = rng.choice([1, 1, 2, 1.75])
    size = [int(length * ratio) for length in low]
    scale = 10.0 ** rng.choice([-3, 0, 1, 2, 4])
    dtype = rng.choice(
        [torch.float64, torch.float32, torch.float16, torch.bfloat16]
    )
    use_sigmoid = rng.random() < 0.2
    label = torch.randint(0, classes, (images, *size), generator=generator)
    ignored = torch.rand(label.shape, generator=generator)
    ignored = ignored < rng.choice([0, 0.3, 1])
    label[ignored] = 255
    logits = torch.randn(images, classes, *low, generator=generator) * scale
    if rng.random() < 0.3:  # saturated at the label
        logits = torch.nn.functional.one_hot(
            torch.randint(0, classes, (images, *low), generator=generator),
            classes,
        ).movedim(-1, 1) * (2 * scale)
    soft = torch.randn(images, classes, *size, generator=generator) * scale
    soft = soft.sigmoid() if use_sigmoid else soft.softmax(1)
    kind = rng.choice(['hard', 'hard', 'smoothed', 'soft', 'teacher'])
    target = {'soft': soft, 'teacher': TeacherLogits(soft * scale)}.get(
        kind, label
    )
    if kind == 'teacher' and use_sigmoid:
        target = TeacherLogits(soft * scale, use_sigmoid=True)
    weight = None
    if rng.random() < 0.4:
        weight = torch.rand(images, *size, generator=generator)
        weight *= torch.rand(weight.shape, generator=generator) < 0.7
        weight *= 10.0 ** rng.choice([-20, -3, 0, 3])
    smoothing = None
    if kind == 'smoothed':
        smoothing = dict(
            mode=rng.choice(['boundary', 'uniform']),
            epsilon=rng.choice([0, 0.1, 0.5, 1]),
        )
    ce_weight = rng.choice([0, 0.25, 1])
    return (
        logits.to(dtype).requires_grad_(),
        target,
        weight,
        dict(
            use_sigmoid=use_sigmoid,
            label_smoothing=smoothing,
            ce_weight=ce_weight,
            jml_weight=rng.choice([0.75, 1] if ce_weight == 0 else [0, 0.75]),
            class_weight=rng.choice(
                [None, torch.rand(classes, generator=generator)]
            ),
            align_corners=rng.random() < 0.5,
        ),
    )


@pytest.mark.parametrize('part', range(4))
def test_every_value_and_gradient_is_finite(part):
    rng = random.Random(part)
    generator = torch.Generator().manual_seed(part)
    refused = 0
    for batch in range(BATCHES):
        options = draw_options(rng)
        logits, target, weight, rest = draw_batch(rng, generator)
        if options is None:
            refused += 1
            continue
        loss = jaccard_metric_loss(
            logits, target, weight, options=options, **rest
        )
        loss.backward()
        text = f'{batch}: {options}, {rest}, {logits.dtype}'
        assert loss.isfinite(), text
        # a derivative beyond float16 is beyond any implementation
        limit = torch.finfo(torch.float16).max
        if logits.dtype != torch.float16 or logits.grad.abs().max() < limit:
            assert logits.grad.isfinite().all(), text
        same = logits.shape[2:] == getattr(target, 'value', target).shape[-2:]
        if same and isinstance(target, torch.Tensor) and target.ndim == 3:
            ignored = (target == 255).unsqueeze(1).expand_as(logits)
            assert not logits.grad[ignored].any(), text
        if same and weight is not None:
            silent = (weight == 0).unsqueeze(1).expand_as(logits)
            assert not logits.grad[silent].any(), text
    assert refused < BATCHES / 2


@pytest.mark.parametrize(
    ('mode', 'level'), itertools.product(['ALL', 'PRESENT'], ['D', 'I', 'C'])
)
def test_saturated_logits_without_smoothing(mode, level):
    """norm=3, 'jml2', smooth=0: the derivative of 0/0 was NaN."""
    levels = dict.fromkeys(['mIoUD', 'mIoUI', 'mIoUC'], 0.0)
    levels[f'mIoU{level}'] = 1.0
    options = RegionLossOptions(
        norm=3,
        variant='jml2',
        smooth=0,
        active_classes_mode_hard=mode,
        **levels,
    )
    label = torch.tensor([[[0, 1], [1, 0]]])
    logits = torch.nn.functional.one_hot(label, 5).movedim(-1, 1) * 1e4
    for sign in (1, -1):
        leaf = (sign * logits).float().requires_grad_()
        loss = jaccard_metric_loss(leaf, label, options=options)
        loss.backward()
        assert loss.isfinite()
        assert leaf.grad.isfinite().all()
