"""The largest label or probability of each class, by chunks of pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from .chunks import Batch
from .eager import eager
from .reference import pixel_weight, working_dtype
from .targets import Target

__all__ = ['largest_values']


@eager
@torch.no_grad()
def largest_values(
    logits: Tensor,
    target: Target,
    weight: Tensor | None,
    *,
    use_sigmoid: bool,
    with_prediction: bool,
    with_label: bool,
) -> Tensor:
    """Largest p, y or p + y over the pixels that count.

    Args:
        logits (Tensor): (N, C, *).
        target (HardLabel | Probabilities | TeacherLogits): The label y.
        weight (Tensor, optional): (N, *); pixels of weight 0 do not count.
        use_sigmoid (bool): Whether p is a sigmoid, not a softmax.
        with_prediction (bool): Whether p is part of the sum.
        with_label (bool): Whether y is.

    Returns:
        Tensor: (N, C), 0 where no pixel counts.
    """
    dtype = working_dtype(logits)
    largest = logits.new_zeros(logits.shape[:2], dtype=dtype)
    batch = Batch(logits, target, weight, None, buffers=8)
    for index in batch:
        chunk = batch[index]
        counted = pixel_weight(chunk.logits, chunk.target, chunk.weight) > 0
        value = largest.new_zeros(chunk.logits.shape)
        if with_prediction:
            prob = chunk.logits.to(dtype)
            value += prob.sigmoid() if use_sigmoid else prob.softmax(1)
        if with_label:
            value += chunk.target.dense(value.shape[1], dtype)
        value.masked_fill_(~counted.unsqueeze(1), 0)
        rows = largest[index.images]
        torch.maximum(rows, value.amax(2), out=rows)
    return largest
