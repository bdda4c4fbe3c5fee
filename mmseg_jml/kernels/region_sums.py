"""Region sums: the one place where a loss touches pixels."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Callable

import torch
from torch import Tensor

from . import chunked, reference
from .request import Reduction, RegionSums, Request

__all__ = ['IMPLEMENTATIONS', 'choose', 'reduced', 'region_sums']

Reduce = Callable[[RegionSums], Reduction]

IMPLEMENTATIONS = ('auto', 'reference', 'torch', 'triton')
_VARIABLE = 'MMSEG_JML_IMPL'


def region_sums(request: Request, impl: str = 'auto') -> RegionSums:
    """Sums over pixels that Jaccard, Dice, Tversky and cross-entropy need.

    Equal, for a dense label ``y`` and n = 1, to::

        p = logits.softmax(1)                       # or sigmoid
        P = (w * p).flatten(2).sum(2)
        Y = (w * y).flatten(2).sum(2)
        T = (w * torch.minimum(p, y)).flatten(2).sum(2)

    Gradients flow to the logits only. Where p equals y the derivative of
    min(p, y) is 1/2. At a hard label it is 1, since min(p, 1) = p. A label
    that is neither a class nor ignored does not count.

    Args:
        request (Request): What to sum.
        impl (str): 'reference', the formulas as they stand; 'torch', bounded
            memory on any device; 'triton', a GPU's own kernels; or 'auto',
            see :func:`choose`. Defaults to 'auto'.

    Returns:
        RegionSums: One row per image.

    Raises:
        ValueError: If ``impl`` is unknown, or is 'triton' where Triton cannot
            serve the request; the message says why.
    """
    name = choose(request, impl)
    # bfloat16 sums under autocast would lose small classes
    with torch.autocast(request.logits.device.type, enabled=False):
        if name == 'reference':
            return reference.region_sums(request)
        return _as_one_step(_apply)(request, _engine(name))


def reduced(
    request: Request, reduce: Reduce, impl: str = 'auto'
) -> tuple[Tensor | None, ...]:
    """A scalar function of region sums, with a derivative in closed form.

    Args:
        request (Request): What to sum.
        reduce (Callable[[RegionSums], Reduction]): From sums to a scalar and
            its derivative by the sums. Its operations are differentiable, so
            that impl='reference' has all derivatives.
        impl (str): As for :func:`region_sums`. Defaults to 'auto'.

    Returns:
        tuple[Tensor | None, ...]: The scalar, and what else ``reduce`` tells.

    Raises:
        ValueError: As for :func:`region_sums`.
    """
    name = choose(request, impl)
    with torch.autocast(request.logits.device.type, enabled=False):
        if name == 'reference':
            result = reduce(reference.region_sums(request))
            others = (v if v is None else v.detach() for v in result.others)
            return (result.value, *others)
        return _as_one_step(_reduce)(request, _engine(name), reduce)


def choose(request: Request, impl: str = 'auto') -> str:
    """The implementation that serves a request.

    'auto' is what the environment variable MMSEG_JML_IMPL names, if it is
    set. Otherwise it is 'triton' on CUDA wherever Triton can serve, else
    'torch'; the log says once why Triton cannot.

    Args:
        request (Request): What to sum.
        impl (str): One of ``IMPLEMENTATIONS``. Defaults to 'auto'.

    Returns:
        str: 'reference', 'torch' or 'triton'.

    Raises:
        ValueError: As for :func:`region_sums`.
    """
    source = 'impl'
    if impl == 'auto' and _VARIABLE in os.environ:
        impl, source = os.environ[_VARIABLE], _VARIABLE
    if impl not in IMPLEMENTATIONS:
        raise ValueError(
            f"Expected {source} to be 'auto' or one of {IMPLEMENTATIONS[1:]}, "
            f'but got {impl!r}'
        )
    if impl == 'auto' and not request.logits.is_cuda:
        return 'torch'
    if impl not in ('auto', 'triton'):
        return impl
    reason = _why_not_triton(request)
    if reason is None:
        return 'triton'
    if impl == 'triton':
        raise ValueError(
            f"Expected a request that Triton can serve for {source}='triton', "
            f"but {reason}; impl='auto' takes what can"
        )
    _say_once(reason)
    return 'torch'


def _why_not_triton(request: Request) -> str | None:
    try:
        from . import triton_engine
    except ImportError as error:
        return f'Triton does not import here ({error})'
    return triton_engine.why_not(request)


@functools.lru_cache(maxsize=None)
def _say_once(reason: str) -> None:
    logging.getLogger('mmseg_jml').warning(
        'The loss runs in plain PyTorch on this GPU, which is slower than '
        'its Triton kernels, because %s.',
        reason,
    )


def _engine(name: str) -> ModuleType:
    """A module with ``sums(request)`` and ``gradient(request, slopes)``."""
    if name == 'torch':
        return chunked
    from . import triton_engine

    return triton_engine


def _as_one_step(function):
    """Hides loops and launches from ``torch.compile``.

    A compiler would unroll a loop over chunks into thousands of operations.
    It is imported only where it is in use, since that takes more than a
    second; ``torch.compiler.disable`` as a decorator imports it at once.
    """
    compiler = getattr(torch, 'compiler', None)  # torch 2.1
    is_compiling = getattr(compiler, 'is_compiling', None)  # torch 2.3
    if is_compiling is not None and is_compiling():
        return compiler.disable(function)
    return function


def _apply(request: Request, engine: ModuleType) -> RegionSums:
    return RegionSums(*_RegionSums.apply(engine, *_taken_apart(request)))


def _reduce(
    request: Request, engine: ModuleType, reduce: Reduce
) -> tuple[Tensor | None, ...]:
    bare, names, *tensors = _taken_apart(request)
    return _Reduced.apply(engine, bare, names, reduce, [], *tensors)


def _taken_apart(request: Request) -> tuple:
    """The request without its tensors, their names, and they."""
    tensors = request.tensors()
    names = tuple(tensors)
    bare = request.with_tensors(dict.fromkeys(names))
    return bare, names, *tensors.values()


class _Reduced(torch.autograd.Function):
    """Keeps the derivative by the sums, a few numbers, besides the inputs."""

    @staticmethod
    def forward(
        engine: ModuleType,
        bare: Request,
        names: tuple[str, ...],
        reduce: Reduce,
        kept: list,
        *tensors: Tensor | None,
    ) -> tuple:
        request = bare.with_tensors(dict(zip(names, tensors)))
        sums = engine.sums(request)
        result = reduce(sums)
        kept += result.slopes, sums.kept
        # one tensor cannot be an output with and without a derivative
        others = (
            value.clone() if value is result.value else value
            for value in result.others
        )
        return (result.value, *others)

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: tuple) -> None:
        ctx.static = inputs[:3]
        ctx.slopes, ctx.kept = inputs[4]
        ctx.save_for_backward(*inputs[5:])
        others = [value for value in output[1:] if value is not None]
        ctx.mark_non_differentiable(*others)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, gradient: Tensor | None, *others) -> tuple:
        tensors = ctx.saved_tensors  # which checkpointing gives once
        if gradient is not None:
            gradient = _RegionGradient.apply(
                *ctx.static, ctx.slopes * gradient, ctx.kept, *tensors
            )
        return (*[None] * 5, gradient, *[None] * (len(tensors) - 1))


class _RegionSums(torch.autograd.Function):
    """Nothing is kept for the backward pass but the inputs."""

    @staticmethod
    def forward(
        engine: ModuleType,
        bare: Request,
        names: tuple[str, ...],
        *tensors: Tensor | None,
    ) -> tuple:
        request = bare.with_tensors(dict(zip(names, tensors)))
        sums = engine.sums(request)
        return sums.by_class, sums.by_image, sums.largest, sums.hits

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: tuple) -> None:
        ctx.static = inputs[:3]
        ctx.save_for_backward(*inputs[3:])
        fixed = [value for value in output[2:] if value is not None]
        ctx.mark_non_differentiable(*fixed)

    @staticmethod
    def backward(ctx, by_class, by_image, *others) -> tuple:
        tensors, bare = ctx.saved_tensors, ctx.static[1]
        likelihood = by_image[:, :1] * bare.with_cross_entropy
        if tensors[2] is not None:  # the class weights
            likelihood = likelihood * tensors[2].to(likelihood)
        likelihood = likelihood.expand_as(by_class[:, 1]).unsqueeze(1)
        slopes = [by_class[:, :1], likelihood, by_class[:, 2:]]
        gradient = _RegionGradient.apply(
            *ctx.static, torch.cat(slopes, 1), None, *tensors
        )
        return (None, None, None, gradient, *[None] * (len(tensors) - 1))

    @staticmethod
    def vmap(info, in_dims: tuple, *inputs) -> tuple:
        size = info.batch_size
        folded = _fold(size, in_dims[3:], inputs[3:], inputs[2])
        output = [
            None if value is None else value.unflatten(0, (size, -1))
            for value in _RegionSums.apply(*inputs[:3], *folded)
        ]
        dims = tuple(None if value is None else 0 for value in output)
        return tuple(output), dims


class _RegionGradient(torch.autograd.Function):
    """A function of its own, so that a second derivative is refused."""

    @staticmethod
    def forward(
        engine: ModuleType,
        bare: Request,
        names: tuple[str, ...],
        slopes: Tensor,
        kept: object,
        *tensors: Tensor | None,
    ) -> Tensor:
        request = bare.with_tensors(dict(zip(names, tensors)))
        return engine.gradient(request, slopes, kept)

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx, gradient: Tensor) -> None:
        raise NotImplementedError(
            'Expected one derivative of region sums, but got a request for '
            "the second; impl='reference' has all of them"
        )

    @staticmethod
    def vmap(info, in_dims: tuple, *inputs) -> tuple:
        size, names = info.batch_size, ('slopes', 'kept', *inputs[2])
        folded = _fold(size, in_dims[3:], inputs[3:], names)
        output = _RegionGradient.apply(*inputs[:3], *folded)
        return output.unflatten(0, (size, -1)), 0


def _fold(
    size: int,
    in_dims: Sequence[int | None],
    tensors: Sequence[Tensor | None],
    names: Sequence[str],
) -> list[Tensor | None]:
    """A mapped dimension becomes part of the images, which are independent."""
    folded = []
    for name, dim, value in zip(names, in_dims, tensors):
        if name == 'class_weight' and dim is not None:
            raise NotImplementedError(
                'Expected the same class_weight for all that vmap maps over, '
                f'but got one with a mapped dimension {dim}'
            )
        if value is not None and name != 'class_weight':
            value = (
                value.expand(size, *value.shape)
                if dim is None
                else value.movedim(dim, 0)
            )
            value = value.flatten(0, 1)
        folded.append(value)
    return folded
