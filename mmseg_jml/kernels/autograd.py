"""Region sums as functions that autograd and ``torch.func`` know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Protocol

import torch
from torch import Tensor

from .request import Request
from .results import Reduction, RegionSums

__all__ = ['Engine', 'Reduce', 'differentiable', 'reduced_by']

Reduce = Callable[[RegionSums], Reduction]


class Engine(Protocol):
    """The functions of a module that computes region sums."""

    def sums(self, request: Request) -> RegionSums:
        """Return the sums, without autograd."""
        ...

    def gradient(
        self, request: Request, slopes: Tensor, kept: object = None
    ) -> Tensor:
        """Return the gradient of the logits, shaped and typed like them.

        Args:
            request (Request): The request of the sums.
            slopes (Tensor): As in :class:`mmseg_jml.kernels.Reduction`.
            kept (object, optional): What :meth:`sums` returned as ``kept``.
                Defaults to None.
        """
        ...


def differentiable(request: Request, engine: Engine) -> RegionSums:
    """Return sums whose gradient the engine computes."""
    bare, tensors = _taken_apart(request)
    return RegionSums(*_apply(_RegionSums, engine, *bare, *tensors))


def reduced_by(
    request: Request, engine: Engine, reduce: Reduce
) -> tuple[Tensor | None, ...]:
    """Return ``reduce(sums)``: a differentiable value, and its others."""
    bare, tensors = _taken_apart(request)
    result: tuple[Tensor | None, ...] = _apply(
        _Reduced, engine, *bare, reduce, [], *tensors
    )
    return result


def _apply(function: Any, *arguments: Any) -> Any:
    """``function.apply``, which torch leaves without types."""
    return function.apply(*arguments)


def _taken_apart(request: Request) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Separate a request, with the names of its tensors, from the tensors."""
    tensors = request.tensors()
    bare = request.with_tensors(dict.fromkeys(tensors))
    return (bare, tuple(tensors)), tuple(tensors.values())


class _Reduced(torch.autograd.Function):
    """Reduced sums; saves the slopes, a few numbers, beside the inputs."""

    @staticmethod
    def forward(
        engine: Engine,
        bare: Request,
        names: tuple[str, ...],
        reduce: Reduce,
        kept: list[Any],
        *tensors: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
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
    def setup_context(
        ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]
    ) -> None:
        ctx.static = inputs[:3]
        ctx.slopes, ctx.kept = inputs[4]
        ctx.save_for_backward(*inputs[5:])
        others = [value for value in output[1:] if value is not None]
        ctx.mark_non_differentiable(*others)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor | None, *others: None
    ) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors  # checkpointing lets us read them once
        if gradient is not None:
            gradient = _apply(
                _RegionGradient,
                *ctx.static,
                ctx.slopes * gradient,
                ctx.kept,
                *tensors,
            )
        return (*[None] * 5, gradient, *[None] * (len(tensors) - 1))


class _RegionSums(torch.autograd.Function):
    """Region sums; saves nothing for the backward pass but the inputs."""

    @staticmethod
    def forward(
        engine: Engine,
        bare: Request,
        names: tuple[str, ...],
        *tensors: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        sums = engine.sums(bare.with_tensors(dict(zip(names, tensors))))
        return sums.by_class, sums.by_image, sums.largest, sums.hits

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]
    ) -> None:
        ctx.static = inputs[:3]
        ctx.save_for_backward(*inputs[3:])
        fixed = [value for value in output[2:] if value is not None]
        ctx.mark_non_differentiable(*fixed)

    @staticmethod
    def backward(
        ctx: Any, by_class: Tensor, by_image: Tensor, *others: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        tensors, bare = ctx.saved_tensors, ctx.static[1]
        likelihood = by_image[:, :1] * bare.with_cross_entropy
        class_weight = tensors[ctx.static[2].index('class_weight')]
        if class_weight is not None:
            likelihood = likelihood * class_weight.to(likelihood)
        likelihood = likelihood.expand_as(by_class[:, 1]).unsqueeze(1)
        slopes = torch.cat([by_class[:, :1], likelihood, by_class[:, 2:]], 1)
        gradient = _apply(_RegionGradient, *ctx.static, slopes, None, *tensors)
        return (None, None, None, gradient, *[None] * (len(tensors) - 1))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], *inputs: Any
    ) -> tuple[tuple[Tensor | None, ...], tuple[int | None, ...]]:
        size, static = info.batch_size, inputs[:3]
        folded = _fold(size, in_dims[3:], inputs[3:], static[2])
        output = tuple(
            None if value is None else value.unflatten(0, (size, -1))
            for value in _apply(_RegionSums, *static, *folded)
        )
        return output, tuple(None if v is None else 0 for v in output)


class _RegionGradient(torch.autograd.Function):
    """The gradient, a function of its own to refuse a second derivative."""

    @staticmethod
    def forward(
        engine: Engine,
        bare: Request,
        names: tuple[str, ...],
        slopes: Tensor,
        kept: object,
        *tensors: Tensor | None,
    ) -> Tensor:
        request = bare.with_tensors(dict(zip(names, tensors)))
        return engine.gradient(request, slopes, kept)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> None:
        raise NotImplementedError(
            'Expected one derivative of region sums, but got a request for '
            "the second; impl='reference' has all of them"
        )

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], *inputs: Any
    ) -> tuple[Tensor, int]:
        size, static = info.batch_size, inputs[:3]
        names = ('slopes', 'kept', *static[2])
        folded = _fold(size, in_dims[3:], inputs[3:], names)
        output: Tensor = _apply(_RegionGradient, *static, *folded)
        return output.unflatten(0, (size, -1)), 0


def _fold(
    size: int,
    in_dims: Sequence[int | None],
    tensors: Sequence[Tensor | None],
    names: Sequence[str],
) -> list[Tensor | None]:
    """Make a mapped dimension part of the images, which are independent."""
    folded = []
    for name, dim, value in zip(names, in_dims, tensors):
        if name == 'class_weight' and dim is not None:
            raise NotImplementedError(
                'Expected the same class_weight for all that vmap maps over, '
                f'but got one with a mapped dimension {dim}'
            )
        if value is not None and name != 'class_weight':
            if dim is None:
                value = value.expand(size, *value.shape)
            else:
                value = value.movedim(dim, 0)
            value = value.flatten(0, 1)
        folded.append(value)
    return folded
