"""Requests of every kind of target with every option, and what they give."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.testing import assert_close

from mmseg_jml.functional import boundary_mask, smooth_label
from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    RegionSums,
    Request,
    TeacherLogits,
    region_sums,
)
from tests.tolerances import LARGE_SUMS, assert_within_budget

KINDS = ('hard', 'all counted', 'boundary', 'uniform', 'soft', 'teacher')
# and smoothed towards neighbours, which Triton does not serve
EVERY_KIND = (*KINDS, 'neighbours')

SMALL_TEACHERS = ('small teacher', 'other teacher')

CE = dict(with_cross_entropy=True)
ALL = dict(CE, with_product=True, with_hits=True, largest_of='both')
OPTIONS = (
    {},
    dict(with_product=True, with_hits=True),
    dict(CE, largest_of='prediction'),
    dict(CE, class_weight=True, with_product=True),
    dict(CE, norm=2, with_product=True),
    dict(CE, norm=1.5, class_weight=True),
    dict(CE, use_sigmoid=True, with_product=True),
    dict(ALL, norm=2, use_sigmoid=True, class_weight=True, with_product=False),
    dict(largest_of='label'),
)


def _crop(value):
    *rest, height, width = value.shape
    frame = value.new_full((*rest, height + 3, width + 2), 99)
    frame[..., 2:-1, 1:-1] = value
    return frame[..., 2:-1, 1:-1]


# How (N, C, H, W) may lie in memory.
LAYOUTS = {
    'channels last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'flipped channels': lambda x: (
        torch.stack(x.unbind(1)[::-1]).transpose(0, 1).flip(1)
    ),
    'crop': _crop,
    'steps': lambda x: x.repeat_interleave(2, 2).repeat_interleave(3, 3)[
        :, :, ::2, ::3
    ],
    'transposed': lambda x: x.mT.contiguous().mT,
    'batch last': lambda x: torch.stack(x.unbind(0), -1).movedim(-1, 0),
}


def draw(
    kind,
    shape=(3, 5, 12, 13),
    dtype=torch.float64,
    weighted=False,
    use_sigmoid=False,
    seed=0,
    device='cpu',
):
    """Logits, a target of the kind, and pixel weights or None."""
    generator = torch.Generator().manual_seed(seed)
    pixels = (shape[0], *shape[2:])

    def normal():
        value = torch.randn(shape, generator=generator, dtype=torch.float64)
        return value * 2

    logits = normal().to(device, dtype)
    weight = None
    if weighted:
        weight = torch.rand(pixels, generator=generator)
        weight[weight < 0.2] = 0
        weight = weight.to(device, torch.promote_types(dtype, torch.float32))
    if kind == 'soft':
        value = normal()
        value = value.sigmoid() if use_sigmoid else value.softmax(1)
        return logits, Probabilities(value.to(device, dtype)), weight
    if kind == 'teacher':
        value = normal().to(device, dtype)
        return logits, TeacherLogits(value, 1.5, use_sigmoid), weight
    label = torch.randint(0, shape[1], pixels, generator=generator)
    ignored = torch.rand(pixels, generator=generator) < 0.05
    if kind != 'all counted':
        label[ignored] = 255
    label = label.to(device)
    if kind == 'neighbours':
        target = smooth_label(label, shape[1], kind, 0.4, kernel_size=5)
        return logits, target, weight
    options = {}
    if kind == 'all counted':
        options['ignore_index'] = None
    elif kind != 'hard':
        options.update(on=0.6, off=0.1)
    if kind == 'boundary':
        options['smoothed'] = boundary_mask(label)
    return logits, HardLabel(label, **options), weight


def draw_upsampled(
    kind, space, label_space, aligned, images=2, classes=4, **keywords
):
    """Logits smaller than the label; a teacher's too for some kinds.

    'small teacher': of the logits' size; 'other teacher': of one between.
    """
    shape = images, classes
    name = 'teacher' if kind in SMALL_TEACHERS else kind
    _, target, weight = draw(name, (*shape, *label_space), **keywords)
    keywords.update(weighted=False, seed=1)
    logits, *_ = draw('hard', (*shape, *space), **keywords)
    if kind in SMALL_TEACHERS:
        is_other = kind == 'other teacher'
        keywords['seed'] = 2
        space = tuple(n + is_other for n in space)
        value, *_ = draw('hard', (*shape, *space), **keywords)
        size = dict(size=label_space, align_corners=aligned ^ is_other)
        target = replace(target, value=value, **size)
    return logits, target, weight


def exact(logits, target, weight):
    """The same numbers in float64."""
    if not isinstance(target, HardLabel):
        target = replace(target, value=target.value.double())
    return logits.double(), target, None if weight is None else weight.double()


def ask(
    logits, target, weight=None, class_weight=False, with_hits=False, **options
) -> Request:
    """A request; hits are left out where the target has no labels.

    ``class_weight`` asks for some (C,), drawn from a fixed seed.
    """
    if class_weight:
        generator = torch.Generator().manual_seed(7)
        drawn = torch.rand(logits.shape[1], generator=generator).double()
        options['class_weight'] = drawn.to(logits.device)
    with_hits = with_hits and isinstance(target, HardLabel)
    return Request(logits, target, weight, with_hits=with_hits, **options)


def run(logits, target, weight=None, impl='torch', **options):
    """Region sums, and the gradient of a fixed combination of them."""
    logits = logits.detach().requires_grad_()
    request = ask(logits, target, weight, **options)
    sums = region_sums(request, impl)
    generator = torch.Generator().manual_seed(8)
    values = [sums.prediction, sums.overlap]
    values += [sums.product] * (sums.product is not None)
    values += [sums.cross_entropy] * request.with_cross_entropy
    scalar = 0
    for value in values:
        factor = torch.randn(value.shape, generator=generator).double()
        scalar = scalar + (factor.to(value) * value).sum()
    (gradient,) = torch.autograd.grad(scalar, logits)
    return sums, gradient


NAMES = (
    *('prediction', 'target', 'overlap', 'product', 'cross_entropy'),
    *('mass', 'largest', 'hits'),
)


def by_name(sums: RegionSums, gradient: Tensor) -> dict[str, Tensor | None]:
    """Every number that :func:`run` gives."""
    values = {name: getattr(sums, name) for name in NAMES}
    return dict(values, gradient=gradient)


def pairs(ours, theirs):
    """Names and values of two results, but for what both lack."""
    # by_name knows them all, but for what an implementation keeps
    assert len(fields(RegionSums)) == 5
    ours, theirs = by_name(*ours), by_name(*theirs)
    missing = [{k for k in x if x[k] is None} for x in (ours, theirs)]
    assert missing[0] == missing[1]
    kept = ours.keys() - missing[0]
    return [(name, ours[name], theirs[name]) for name in sorted(kept)]


def assert_same(ours: tuple, theirs: tuple, **tolerance) -> None:
    """Two results of :func:`run` are equal, up to a tolerance."""
    tolerance = tolerance or LARGE_SUMS
    for name, our, their in pairs(ours, theirs):
        message = f'{name}: {{}}'.format
        assert_close(our, their, **tolerance, msg=message)


def assert_right(logits, target, weight=None, impl='torch', **options):
    """An implementation stays within the error budget; its gradient.

    The formulas in float64 on the same rounded inputs are the truth.
    """
    given = ask(logits, target, weight, **options).tensors()
    given = {name: value for name, value in given.items() if value is not None}
    before = {name: value.clone() for name, value in given.items()}
    fast = run(logits, target, weight, impl, **options)
    plain = run(logits, target, weight, 'reference', **options)
    right = run(*exact(logits, target, weight), impl='reference', **options)
    assert all(torch.equal(given[name], before[name]) for name in before)
    assert fast[1].dtype == logits.dtype
    # sums are float64, taken from float32 probabilities
    working = torch.promote_types(logits.dtype, torch.float32)
    plain = by_name(*plain)
    for name, value, truth in pairs(fast, right):
        is_sum = name != 'gradient'
        assert not is_sum or value.dtype == torch.float64
        assert value.shape == truth.shape, name
        dtype = working if is_sum else logits.dtype
        assert_within_budget(value, plain[name], truth, dtype, name)
    return fast[1]
