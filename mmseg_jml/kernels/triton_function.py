"""Launches of the kernels in ``triton_kernels``, and their derivative.

One launch forward and one backward, with the (N, C) arithmetic between them
left to PyTorch. Nothing is kept for the backward pass but the inputs, and the
host never waits for the device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor
from torch.autograd.function import FunctionCtx

from .triton_kernels import backward_kernel, forward_kernel

__all__ = ['Options', 'TritonRegionSums', 'launch_configuration']


class Options(NamedTuple):
    """What the kernels compute, apart from tensors."""

    kind: str
    norm: int
    sigmoid: bool
    entropy: bool
    extra: bool
    ignore_index: int | None = None
    on: float = 1.0
    off: float = 0.0
    inverse_temperature: float = 1.0


class TritonRegionSums(torch.autograd.Function):
    """(N, C, rows, columns) logits to sums of shape (N, C) and (N,)."""

    @staticmethod
    def forward(
        logits: Tensor,
        label: Tensor,
        smoothed: Tensor | None,
        weight: Tensor | None,
        class_weight: Tensor | None,
        options: Options,
    ) -> tuple:
        """P, Y, T, X, E and W of ``triton_kernels``, summed over an image."""
        images, num_classes = logits.shape[:2]
        arguments = _arguments(
            logits, label, smoothed, weight, class_weight, options
        )
        grid = _grid(logits, arguments)
        rows = 4 if options.extra else 3
        sums = torch.empty(
            (grid, rows * num_classes + 2),
            dtype=torch.float32,
            device=logits.device,
        )
        if grid:
            with torch.cuda.device_of(logits):
                forward_kernel[(grid,)](
                    sums=sums,
                    ENTROPY=options.entropy,
                    EXTRA=options.extra,
                    **arguments,
                )
        sums = sums.view(images, grid // max(images, 1), sums.shape[1])
        sums = sums.sum(1, dtype=torch.float64)
        classes = sums[:, :-2].unflatten(1, (rows, num_classes)).unbind(1)
        return (
            *classes[:3],
            classes[3] if options.extra else None,
            sums[:, -2] if options.entropy else None,
            sums[:, -1],
        )

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: tuple) -> None:
        """Keeps the inputs, which exist anyway."""
        ctx.save_for_backward(*inputs[:5])
        ctx.options = inputs[5]
        ctx.set_materialize_grads(False)
        fixed = [output[1], output[5]]
        if ctx.options.extra and ctx.options.norm == 2:
            fixed.append(output[3])
        ctx.mark_non_differentiable(*fixed)

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor | None) -> tuple:
        """Gradient by the logits, laid out like them if they are dense."""
        grad = _RegionGradient.apply(*ctx.saved_tensors, ctx.options, *grads)
        return grad, None, None, None, None, None


class _RegionGradient(torch.autograd.Function):
    """A function of its own, so that a second derivative is refused."""

    @staticmethod
    def forward(
        logits: Tensor,
        label: Tensor,
        smoothed: Tensor | None,
        weight: Tensor | None,
        class_weight: Tensor | None,
        options: Options,
        *grads: Tensor | None,
    ) -> Tensor:
        """Gradient from those by P, Y, T, X, E and W, None for zeros."""
        grad = torch.empty_like(logits)
        arguments = _arguments(
            logits, label, smoothed, weight, class_weight, options, grad
        )
        by = [None if g is None else g.contiguous() for g in grads]
        grid = _grid(logits, arguments)
        # fewer registers, so that more programs run at a time; with soft
        # labels they would not do
        maxnreg = 128 if options.kind == 'hard' else None
        if grid:
            with torch.cuda.device_of(logits):
                backward_kernel[(grid,)](
                    grad=grad,
                    grad_prediction=by[0],
                    grad_overlap=by[2],
                    grad_product=by[3],
                    grad_entropy=by[4],
                    maxnreg=maxnreg,
                    **arguments,
                )
        return grad

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple, output: Tensor) -> None:
        """Keeps nothing."""

    @staticmethod
    def backward(ctx: FunctionCtx, grad: Tensor) -> None:
        """Refuses."""
        raise NotImplementedError(
            "Expected one derivative of region sums with impl='triton', but "
            "got a request for the second; impl='reference' has all of them"
        )


def launch_configuration(num_classes: int, num_pixels: int) -> dict:
    """Tile, warps and tiles of a program, chosen without looking at a GPU.

    A thread holds one pixel and at most 24 classes, which fits its registers.
    With more classes 2, 4 or 8 threads, each of another warp, share a pixel.

    Args:
        num_classes (int): C.
        num_pixels (int): Pixels of all images.

    Returns:
        dict: Arguments of both kernels.
    """
    sharing = triton.next_power_of_2(triton.cdiv(num_classes, 24))
    block_p, num_warps = (128, 4) if sharing == 1 else (32, sharing)
    tiles = min(max(num_pixels // block_p // 1024, 1), 32)
    return dict(
        CLASSES=num_classes,
        BLOCK_C=triton.next_power_of_2(num_classes),
        BLOCK_P=block_p,
        tiles=tiles,
        num_warps=num_warps,
        enable_fp_fusion=True,
    )


def _arguments(
    logits: Tensor,
    label: Tensor,
    smoothed: Tensor | None,
    weight: Tensor | None,
    class_weight: Tensor | None,
    options: Options,
    grad: Tensor | None = None,
) -> dict:
    """What both kernels take; with ``grad``, its strides too."""
    images, num_classes, rows, columns = logits.shape
    dense = dict(logits=logits, target=label if label.ndim == 4 else logits)
    if grad is not None:
        dense['grad'] = grad
    strides = {
        f'{name}_{axis}': stride
        for name, tensor in dense.items()
        for axis, stride in zip(('n', 'c', 'row', 'col'), tensor.stride())
    }
    return dict(
        logits=logits,
        target=label,
        smoothed=smoothed,
        weight=weight,
        class_weight=class_weight,
        num_pixels=rows * columns,
        width=columns,
        ignore_index=options.ignore_index,
        on=options.on,
        off=options.off,
        inverse_temperature=options.inverse_temperature,
        KIND=options.kind,
        SIGMOID=options.sigmoid,
        NORM=options.norm,
        FLAT=all(map(_is_flat, dense.values())),
        WIDE=any(_span(t) >= 2**31 for t in dense.values()),
        **strides,
        **launch_configuration(num_classes, images * rows * columns),
    )


def _is_flat(tensor: Tensor) -> bool:
    """Whether rows follow each other without a gap."""
    rows, columns = tensor.shape[2:]
    return rows == 1 or tensor.stride(2) == columns * tensor.stride(3)


def _span(tensor: Tensor) -> int:
    """Elements from the first to the last of an image."""
    return sum(
        (size - 1) * stride
        for size, stride in zip(tensor.shape[1:], tensor.stride()[1:])
    )


def _grid(logits: Tensor, arguments: dict) -> int:
    """Programs of a launch, the same number for each image."""
    pixels = arguments['BLOCK_P'] * arguments['tiles']
    return logits.shape[0] * triton.cdiv(arguments['num_pixels'], pixels)
