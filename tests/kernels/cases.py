"""Inputs of region sums: every kind of target, with every option."""

import torch

from mmseg_jml.functional import boundary_mask
from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    TeacherLogits,
    region_sums,
)

KINDS = ('hard', 'all counted', 'boundary', 'uniform', 'soft', 'teacher')

OPTIONS = (
    {},
    dict(with_product=True),
    dict(with_cross_entropy=True),
    dict(with_cross_entropy=True, class_weight=True, with_product=True),
    dict(norm=2, with_cross_entropy=True, with_product=True),
    dict(norm=1.5, class_weight=True, with_cross_entropy=True),
    dict(use_sigmoid=True, with_cross_entropy=True, with_product=True),
    dict(use_sigmoid=True, norm=2, with_cross_entropy=True, class_weight=True),
)


def draw(
    kind,
    shape=(3, 5, 12, 13),
    dtype=torch.float64,
    weighted=False,
    use_sigmoid=False,
    seed=0,
):
    """Logits, a target of the kind, and pixel weights or None."""
    generator = torch.Generator().manual_seed(seed)
    classes, pixels = shape[1], (shape[0], *shape[2:])

    def normal():
        return torch.randn(shape, generator=generator, dtype=torch.float64) * 2

    logits = normal().to(dtype)
    weight = None
    if weighted:
        weight = torch.rand(pixels, generator=generator).to(
            torch.promote_types(dtype, torch.float32)
        )
        weight[weight < 0.2] = 0
    if kind == 'soft':
        value = normal()
        value = value.sigmoid() if use_sigmoid else value.softmax(1)
        return logits, Probabilities(value.to(dtype)), weight
    if kind == 'teacher':
        return (
            logits,
            TeacherLogits(normal().to(dtype), 1.5, use_sigmoid),
            weight,
        )
    label = torch.randint(0, classes, pixels, generator=generator)
    if kind == 'all counted':
        return logits, HardLabel(label, ignore_index=None), weight
    label[torch.rand(pixels, generator=generator) < 0.05] = 255
    if kind == 'hard':
        return logits, HardLabel(label), weight
    mask = boundary_mask(label) if kind == 'boundary' else None
    return logits, HardLabel(label, on=0.6, off=0.1, smoothed=mask), weight


def run(
    logits, target, weight=None, impl='torch', class_weight=False, **options
):
    """Region sums, and the gradient of a fixed combination of them."""
    generator = torch.Generator().manual_seed(7)
    if class_weight:
        options['class_weight'] = torch.rand(
            logits.shape[1], generator=generator, dtype=torch.float64
        )
    logits = logits.detach().requires_grad_()
    sums = region_sums(logits, target, weight, impl=impl, **options)
    scalar = 0
    for name in ('prediction', 'overlap', 'product', 'cross_entropy'):
        value = getattr(sums, name)
        if value is not None:
            factor = torch.randn(
                value.shape, generator=generator, dtype=torch.float64
            )
            scalar = scalar + (factor * value).sum()
    (gradient,) = torch.autograd.grad(scalar, logits)
    return sums, gradient
