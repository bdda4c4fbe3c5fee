"""Region sums by chunks of pixels, in plain PyTorch on any device.

Nothing is kept for the backward pass but the inputs: it computes the
probabilities of each chunk again, and then the chunk's gradient. So the one
tensor of the logits' size that ever exists besides them is their gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType

import torch
from torch import Tensor

from . import any_kernel, class_kernel, dense_kernel
from .chunks import Batch, Scratch
from .eager import eager
from .targets import HardLabel, Target, tensors_of
from .task import Slopes, Task

__all__ = ['region_sums']


@eager
def region_sums(
    logits: Tensor,
    target: Target,
    weight: Tensor | None,
    *,
    norm: float,
    use_sigmoid: bool,
    class_weight: Tensor | None,
    with_product: bool,
    with_cross_entropy: bool,
) -> tuple:
    """Chunked implementation of :func:`mmseg_jml.kernels.region_sums`."""
    parts = tensors_of(target)
    task = Task(
        norm,
        use_sigmoid,
        with_product,
        with_cross_entropy,
        replace(target, **dict.fromkeys(parts)),
        tuple(parts),
    )
    return _RegionSums.apply(
        task, logits, weight, class_weight, *parts.values()
    )


def _prepare(
    task: Task,
    logits: Tensor,
    weight: Tensor | None,
    class_weight: Tensor | None,
    *parts: Tensor,
) -> tuple[ModuleType, Batch, Scratch]:
    """What computes chunks, the chunks, and room to work in."""
    target = replace(task.target, **dict(zip(task.names, parts)))
    kernel = class_kernel if isinstance(target, HardLabel) else dense_kernel
    if task.norm != 1 or task.use_sigmoid:
        kernel = any_kernel
    batch = Batch(logits, target, weight, class_weight, kernel.BUFFERS)
    return kernel, batch, Scratch(logits)


class _RegionSums(torch.autograd.Function):
    @staticmethod
    def forward(task: Task, logits: Tensor, *others: Tensor | None) -> tuple:
        kernel, batch, scratch = _prepare(task, logits, *others)
        images, classes = logits.shape[:2]
        shapes = [(images, classes)] * 3 + [
            (images, classes) if task.with_product else None,
            (images,) if task.with_cross_entropy else None,
            (images,),
        ]
        totals = [
            None
            if shape is None
            else logits.new_zeros(shape, dtype=torch.float64)
            for shape in shapes
        ]
        for index in batch:
            sums = kernel.sums(batch[index], task, scratch)
            for total, part in zip(totals, sums):
                if total is not None:
                    total[index.images] += part
        return tuple(totals)

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: tuple) -> None:
        ctx.task, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.mark_non_differentiable(output[1], output[5])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(
        ctx, prediction, target, overlap, product, cross_entropy, mass
    ) -> tuple:
        logits, *others = ctx.saved_tensors
        zero = logits.new_zeros(logits.shape[:2], dtype=torch.float64)
        prediction = zero if prediction is None else prediction
        overlap = zero if overlap is None else overlap
        gradient = _RegionGradient.apply(
            ctx.task,
            logits,
            *others,
            *Slopes(prediction, overlap, product, cross_entropy),
        )
        return (None, gradient, *[None] * len(others))

    @staticmethod
    def vmap(info, in_dims: tuple, task: Task, *tensors) -> tuple:
        output = _RegionSums.apply(
            task, *_fold(info.batch_size, in_dims[1:], tensors)
        )
        output = tuple(
            None
            if value is None
            else value.unflatten(0, (info.batch_size, -1))
            for value in output
        )
        return output, tuple(None if value is None else 0 for value in output)


class _RegionGradient(torch.autograd.Function):
    """A function of its own, so that a second derivative is refused."""

    @staticmethod
    def forward(task: Task, logits: Tensor, *others: Tensor | None) -> Tensor:
        others, slopes = others[:-4], Slopes(*others[-4:])
        kernel, batch, scratch = _prepare(task, logits, *others)
        gradient = torch.empty_like(logits)
        for index in batch:
            block = batch.block(gradient, index)
            # the last step of a kernel can write there by itself
            fits = block.ndim == 3 and block.stride(2) == 1
            fits = fits and block.dtype == scratch.dtype
            value = kernel.gradient(
                batch[index],
                task,
                slopes.of(index.images),
                scratch,
                out=block if fits else None,
            )
            if value is not block:
                block.copy_(value.view(block.shape))
        return gradient

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx, gradient: Tensor) -> None:
        raise NotImplementedError(
            "Expected one derivative of region sums with impl='torch', but "
            "got a request for the second; impl='reference' has all of them"
        )

    @staticmethod
    def vmap(info, in_dims: tuple, task: Task, *tensors) -> tuple:
        output = _RegionGradient.apply(
            task, *_fold(info.batch_size, in_dims[1:], tensors)
        )
        return output.unflatten(0, (info.batch_size, -1)), 0


def _fold(
    size: int, in_dims: Sequence[int | None], tensors: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """A mapped dimension becomes part of the images, which are independent."""
    folded = []
    for position, (dim, value) in enumerate(zip(in_dims, tensors)):
        is_class_weight = position == 2
        if is_class_weight and dim is not None:
            raise NotImplementedError(
                'Expected the same class_weight for all that vmap maps over, '
                f'but got one with a mapped dimension {dim}'
            )
        if value is not None and not is_class_weight:
            value = (
                value.expand(size, *value.shape)
                if dim is None
                else value.movedim(dim, 0)
            )
            value = value.flatten(0, 1)
        folded.append(value)
    return folded
