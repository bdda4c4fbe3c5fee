"""Random batches: every value and gradient is finite, or clearly refused."""

import random

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from mmseg_jml.functional import RegionLossOptions, jaccard_metric_loss
from mmseg_jml.kernels import TeacherLogits
from tests.functional.on_device import loss_and_gradient

BATCHES = 1500  # of four parts


def draw_options(rng):
    """Options of the region loss; those that are refused are drawn anew."""
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
        return draw_options(rng)


def draw_batch(rng, generator):
    """Logits, a target, pixel weights and the rest of the arguments."""

    def rand(*shape):
        return torch.rand(shape, generator=generator)

    def randn(*shape):
        return torch.randn(shape, generator=generator) * scale

    images, classes = rng.randint(1, 3), rng.randint(2, 7)
    low = rng.randint(1, 5), rng.randint(1, 5)
    ratio = rng.choice([1, 1, 2, 1.75])
    size = [int(length * ratio) for length in low]
    scale = 10.0 ** rng.choice([-3, 0, 1, 2, 4])
    dtypes = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
    dtype = rng.choice(dtypes)
    use_sigmoid = rng.random() < 0.2
    label = torch.randint(0, classes, (images, *size), generator=generator)
    label[rand(*label.shape) < rng.choice([0, 0.3, 1])] = 255
    logits = randn(images, classes, *low)
    if rng.random() < 0.3:  # saturated at the label
        winner = torch.randint(0, classes, (images, *low), generator=generator)
        logits = F.one_hot(winner, classes).movedim(-1, 1) * (2 * scale)
    soft = randn(images, classes, *size)
    soft = soft.sigmoid() if use_sigmoid else soft.softmax(1)
    kind = rng.choice(['hard', 'hard', 'smoothed', 'soft', 'teacher'])
    teacher = TeacherLogits(soft * scale, use_sigmoid=use_sigmoid)
    target = {'soft': soft, 'teacher': teacher}.get(kind, label)
    weight = smoothing = None
    if rng.random() < 0.4:
        weight = rand(images, *size) * (rand(images, *size) < 0.7)
        weight *= 10.0 ** rng.choice([-20, -3, 0, 3])
    if kind == 'smoothed':
        mode = rng.choice(['boundary', 'uniform'])
        smoothing = dict(mode=mode, epsilon=rng.choice([0, 0.1, 0.5, 1]))
    ce_weight = rng.choice([0, 0.25, 1])
    arguments = dict(
        use_sigmoid=use_sigmoid,
        label_smoothing=smoothing,
        ce_weight=ce_weight,
        jml_weight=rng.choice([0.75, 1] if ce_weight == 0 else [0, 0.75]),
        class_weight=rng.choice([None, rand(classes)]),
        align_corners=rng.random() < 0.5,
    )
    return logits.to(dtype).requires_grad_(), target, weight, arguments


@pytest.mark.parametrize('part', range(4))
def test_every_value_and_gradient_is_finite(part):
    rng = random.Random(part)
    generator = torch.Generator().manual_seed(part)
    for batch in range(BATCHES):
        options = draw_options(rng)
        logits, target, weight, rest = draw_batch(rng, generator)
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
        if logits.shape[2:] != getattr(target, 'value', target).shape[-2:]:
            continue
        gradient = logits.grad.movedim(1, -1)
        if isinstance(target, torch.Tensor) and target.ndim == 3:
            assert not gradient[target == 255].any(), text
        if weight is not None:
            assert not gradient[weight == 0].any(), text


@pytest.mark.parametrize('mode', ['ALL', 'PRESENT'])
@pytest.mark.parametrize('level', ['mIoUD', 'mIoUI', 'mIoUC'])
def test_saturated_logits_without_smoothing(mode, level):
    """norm=3, 'jml2', smooth=0: the derivative of 0/0 was NaN."""
    options = {'mIoUD': 0.0, level: 1.0, 'mode': mode}
    options.update(norm=3, variant='jml2', smooth=0)
    label = torch.tensor([[[0, 1], [1, 0]]])
    logits = F.one_hot(label, 5).movedim(-1, 1) * 1e4
    for sign in (1, -1):
        for value in loss_and_gradient(sign * logits, label, **options):
            assert value.isfinite().all()
