"""Region sums as functions that autograd and ``torch.func`` know."""

from __future__ import annotations

from typing import Any, Callable, Protocol

import torch
from torch import Tensor

from .request import Request
from .results import Reduction, RegionSums

__all__ = ['Engine', 'Reduce', 'differentiable']

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


def differentiable(
    request: Request, engine: Engine, reduce: Reduce | None
) -> tuple[Tensor | None, ...]:
    """Return sums, or what ``reduce`` makes of them, with their gradient.

    Sums are the fields of :class:`RegionSums`; a reduction is its value and
    its others.
    """
    tensors = request.tensors()
    bare = request.with_tensors(dict.fromkeys(tensors))
    result: tuple[Tensor | None, ...] = _apply(
        _Sums, engine, bare, tuple(tensors), reduce, *tensors.values()
    )
    return result if reduce is None else result[:-2]


def _apply(function: Any, *arguments: Any) -> Any:
    """``function.apply``, which torch leaves without types."""
    return function.apply(*arguments)


class _Sums(torch.autograd.Function):
    """Region sums, or a reduction of them.

    Saved for the backward pass are the inputs and, of a reduction, the
    slopes, a few numbers.
    """

    @staticmethod
    def forward(
        engine: Engine,
        bare: Request,
        names: tuple[str, ...],
        reduce: Reduce | None,
        *tensors: Tensor | None,
    ) -> tuple[Any, ...]:
        sums = engine.sums(bare.with_tensors(dict(zip(names, tensors))))
        if reduce is None:
            return sums.by_class, sums.by_image, sums.largest, sums.hits
        result = reduce(sums)
        # one tensor cannot be an output with and without a derivative
        others = (
            value.clone() if value is result.value else value
            for value in result.others
        )
        return (result.value, *others, result.slopes, sums.kept)

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]
    ) -> None:
        ctx.static, ctx.is_reduced = inputs[:3], inputs[3] is not None
        ctx.save_for_backward(*inputs[4:])
        others = output[1 if ctx.is_reduced else 2 :]
        if ctx.is_reduced:
            ctx.slopes, ctx.kept = output[-2:]
        fixed = [value for value in others if isinstance(value, Tensor)]
        ctx.mark_non_differentiable(*fixed)
        ctx.set_materialize_grads(not ctx.is_reduced)

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor | None, *others: Any
    ) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors  # checkpointing lets us read them once
        if gradient is not None:
            if ctx.is_reduced:
                slopes, kept = ctx.slopes * gradient, ctx.kept
            else:
                request = ctx.static[1].with_tensors(
                    dict(zip(ctx.static[2], tensors))
                )
                slopes, kept = _slopes(request, gradient, others[0]), None
            gradient = _apply(
                _RegionGradient, *ctx.static, slopes, kept, *tensors
            )
        return (*[None] * 4, gradient, *[None] * (len(tensors) - 1))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], *inputs: Any
    ) -> tuple[tuple[Tensor | None, ...], tuple[int | None, ...]]:
        rows = _one_by_one(_Sums, info.batch_size, in_dims, inputs)
        output = tuple(
            torch.stack(column) if isinstance(column[0], Tensor) else None
            for column in zip(*rows)
        )
        return output, tuple(None if v is None else 0 for v in output)


def _slopes(request: Request, by_class: Tensor, by_image: Tensor) -> Tensor:
    """Turn derivatives by region sums into those of a ``Reduction``."""
    likelihood = by_image[:, :1] * request.with_cross_entropy
    if request.class_weight is not None:
        likelihood = likelihood * request.class_weight.to(likelihood)
    likelihood = likelihood.expand_as(by_class[:, 1]).unsqueeze(1)
    return torch.cat([by_class[:, :1], likelihood, by_class[:, 2:]], 1)


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
        rows = _one_by_one(_RegionGradient, info.batch_size, in_dims, inputs)
        return torch.stack(rows), 0


def _one_by_one(
    function: Any, size: int, in_dims: tuple[Any, ...], inputs: tuple[Any, ...]
) -> list[Any]:
    """Apply a function to each entry of a dimension that ``vmap`` maps."""
    return [
        _apply(
            function,
            *(
                value.select(dim, i) if isinstance(dim, int) else value
                for value, dim in zip(inputs, in_dims)
            ),
        )
        for i in range(size)
    ]
