"""Requests of every kind of target with every option, and what they give."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor

from mmseg_jml.functional import boundary_mask
from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    RegionSums,
    Request,
    Target,
    TeacherLogits,
    region_sums,
)
from tests.tolerances import assert_within_budget

KINDS = ('hard', 'all counted', 'boundary', 'uniform', 'soft', 'teacher')

SMALL_TEACHERS = ('small teacher', 'other teacher')

OPTIONS = (
    {},
    dict(with_product=True, with_hits=True),
    dict(with_cross_entropy=True, largest_of='prediction'),
    dict(with_cross_entropy=True, class_weight=True, with_product=True),
    dict(norm=2, with_cross_entropy=True, with_product=True),
    dict(norm=1.5, class_weight=True, with_cross_entropy=True),
    dict(use_sigmoid=True, with_cross_entropy=True, with_product=True),
    dict(
        use_sigmoid=True,
        norm=2,
        with_cross_entropy=True,
        class_weight=True,
        largest_of='both',
        with_hits=True,
    ),
    dict(largest_of='label'),
)


def draw(
    kind: str,
    shape: tuple[int, ...] = (3, 5, 12, 13),
    dtype: torch.dtype = torch.float64,
    weighted: bool = False,
    use_sigmoid: bool = False,
    seed: int = 0,
    device: str = 'cpu',
) -> tuple[Tensor, Target, Tensor | None]:
    """Logits, a target of the kind, and pixel weights or None."""
    generator = torch.Generator().manual_seed(seed)
    pixels = (shape[0], *shape[2:])

    def normal() -> Tensor:
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
    target = {
        'hard': lambda: HardLabel(label),
        'all counted': lambda: HardLabel(label, ignore_index=None),
        'boundary': lambda: HardLabel(
            label, on=0.6, off=0.1, smoothed=boundary_mask(label)
        ),
        'uniform': lambda: HardLabel(label, on=0.6, off=0.1),
    }[kind]()
    return logits, target, weight


def draw_upsampled(
    kind: str,
    space: tuple[int, int],
    label_space: tuple[int, int],
    align_corners: bool,
    images: int = 2,
    classes: int = 4,
    **keywords,
) -> tuple[Tensor, Target, Tensor | None]:
    """Logits smaller than the label; a teacher's too for some kinds.

    'small teacher': of the logits' size; 'other teacher': of one between.
    """
    shape = images, classes, *label_space
    name = 'teacher' if kind in SMALL_TEACHERS else kind
    _, target, weight = draw(name, shape, **keywords)
    keywords.update(weighted=False, seed=1)
    logits, *_ = draw('hard', (*shape[:2], *space), **keywords)
    if kind in SMALL_TEACHERS:
        if kind == 'other teacher':
            space = tuple(n + 1 for n in space)
        keywords['seed'] = 2
        value, *_ = draw('hard', (*shape[:2], *space), **keywords)
        target = replace(
            target,
            value=value,
            size=label_space,
            align_corners=align_corners ^ (kind == 'other teacher'),
        )
    return logits, target, weight


def exact(
    logits: Tensor, target: Target, weight: Tensor | None
) -> tuple[Tensor, Target, Tensor | None]:
    """The same numbers in float64."""
    if not isinstance(target, HardLabel):
        target = replace(target, value=target.value.double())
    return logits.double(), target, None if weight is None else weight.double()


def ask(
    logits: Tensor,
    target: Target,
    weight: Tensor | None = None,
    class_weight: bool = False,
    with_hits: bool = False,
    **options,
) -> Request:
    """A request; hits are left out where the target has no labels.

    ``class_weight`` asks for some (C,), drawn from a fixed seed.
    """
    if class_weight:
        options['class_weight'] = torch.rand(
            logits.shape[1],
            generator=torch.Generator().manual_seed(7),
            dtype=torch.float64,
        ).to(logits.device)
    with_hits = with_hits and isinstance(target, HardLabel)
    return Request(logits, target, weight, with_hits=with_hits, **options)


def run(
    logits: Tensor,
    target: Target,
    weight: Tensor | None = None,
    impl: str = 'torch',
    **options,
) -> tuple[RegionSums, Tensor]:
    """Region sums, and the gradient of a fixed combination of them."""
    logits = logits.detach().requires_grad_()
    request = ask(logits, target, weight, **options)
    sums = region_sums(request, impl)
    generator = torch.Generator().manual_seed(8)

    def combined(value: Tensor) -> Tensor:
        factor = torch.randn(
            value.shape, generator=generator, dtype=torch.float64
        )
        return (factor.to(value) * value).sum()

    scalar = combined(sums.prediction) + combined(sums.overlap)
    if sums.product is not None:
        scalar = scalar + combined(sums.product)
    if request.with_cross_entropy:
        scalar = scalar + combined(sums.cross_entropy)
    (gradient,) = torch.autograd.grad(scalar, logits)
    return sums, gradient


def by_name(sums: RegionSums, gradient: Tensor) -> dict[str, Tensor | None]:
    """Every number that :func:`run` gives."""
    names = ('prediction', 'target', 'overlap', 'product')
    values = {name: getattr(sums, name) for name in names}
    values.update(cross_entropy=sums.cross_entropy, mass=sums.mass)
    values.update(largest=sums.largest, hits=sums.hits, gradient=gradient)
    return values


def assert_same(ours: tuple, theirs: tuple, **tolerance) -> None:
    """Two results of :func:`run` are equal, up to a tolerance."""
    # by_name knows them all, but for what an implementation keeps
    assert len(fields(RegionSums)) == 5
    ours, theirs = by_name(*ours), by_name(*theirs)
    for name, value in ours.items():
        if value is None or theirs[name] is None:
            assert value is theirs[name], name
            continue
        torch.testing.assert_close(
            value,
            theirs[name],
            **tolerance or dict(rtol=1e-12, atol=1e-12),
            msg=lambda text, name=name: f'{name}: {text}',
        )


def assert_right(
    logits: Tensor,
    target: Target,
    weight: Tensor | None = None,
    impl: str = 'torch',
    **options,
) -> Tensor:
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
    fast, plain, right = (by_name(*x) for x in (fast, plain, right))
    for name, value in fast.items():
        if value is None or right[name] is None:
            assert value is right[name], name
            continue
        is_sum = name != 'gradient'
        assert not is_sum or value.dtype == torch.float64
        assert value.shape == right[name].shape, name
        dtype = working if is_sum else logits.dtype
        assert_within_budget(value, plain[name], right[name], dtype, name)
    return fast['gradient']
