"""Chunks of any norm and activation: the reference formulas and autograd.

Dense copies of a chunk are small, so this saves the memory that
``softmax_kernel`` saves, and the page faults, if not the arithmetic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import reference
from .chunks import Chunk, Scratch
from .task import Slopes, Task

__all__ = ['BUFFERS', 'gradient', 'sums']

BUFFERS = 16  # tensors of a chunk's size that exist at a time


def sums(chunk: Chunk, task: Task, scratch: Scratch) -> tuple:
    """Region sums of a chunk."""
    return reference.region_sums(
        chunk.logits,
        chunk.target,
        chunk.weight,
        norm=task.norm,
        use_sigmoid=task.use_sigmoid,
        class_weight=chunk.class_weight,
        with_product=task.with_product,
        with_cross_entropy=task.with_cross_entropy,
    )


def gradient(
    chunk: Chunk,
    task: Task,
    slopes: Slopes,
    scratch: Scratch,
    out: Tensor | None,
) -> Tensor:
    """(B, C, M) gradient of a chunk's logits."""
    with torch.enable_grad():
        logits = chunk.logits.detach().requires_grad_()
        chunk = chunk._replace(logits=logits)
        prediction, _, overlap, product, entropy, _ = sums(
            chunk, task, scratch
        )
    outputs, given = zip(
        *(
            (value, slope)
            for value, slope in zip(
                (prediction, overlap, product, entropy), slopes
            )
            if slope is not None
        )
    )
    return torch.autograd.grad(outputs, logits, given)[0]
