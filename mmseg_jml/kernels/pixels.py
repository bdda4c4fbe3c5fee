"""What pieces with any label share: classes, weights, and the softmax."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor

from .request import Request
from .targets import HardLabel

__all__ = [
    'LOG2_E',
    'centred',
    'exp_',
    'hits',
    'index_and_weight',
    'labelled',
    'softmax',
    'times_class_weight',
]

LOG2_E = 1 / math.log(2)


def labelled(piece: Request) -> tuple[Tensor, Tensor]:
    """Return the class of each pixel and its weight, both (B, 1, M).

    A pixel that does not count has weight 0 and any class. Without pixel
    weights the weights are bools.
    """
    target = cast(HardLabel, piece.target)
    own, ignored = target.label.unsqueeze(1), target.ignore_index
    index = own.clamp(0, piece.logits.shape[1] - 1)
    counted = index == own
    if ignored is not None and 0 <= ignored < piece.logits.shape[1]:
        counted &= own != ignored
    if piece.weight is None:
        return index, counted
    return index, counted * piece.weight.unsqueeze(1).to(piece.dtype)


def index_and_weight(piece: Request) -> tuple[Tensor | None, Tensor | None]:
    """Return the same for any label, with weights as floats.

    The class of a soft label is None. A weight of None means 1.
    """
    if isinstance(piece.target, HardLabel):
        index, weight = labelled(piece)
        return index, weight.to(piece.dtype)
    if piece.weight is None:
        return None, None
    return None, piece.weight.to(piece.dtype).unsqueeze(1)


def times_class_weight(piece: Request, value: Tensor) -> Tensor:
    """Multiply (B, C) values by the class weights."""
    if piece.class_weight is None:
        return value
    return value * piece.class_weight.to(value)


def hits(piece: Request, index: Tensor, weight: Tensor) -> Tensor:
    """Sum the weights where the labelled class has the largest logit, (B,)."""
    logits = piece.logits
    hit = logits.gather(1, index) >= logits.amax(1, keepdim=True)
    return (weight * hit).sum((1, 2), dtype=torch.float64)


def softmax(
    logits: Tensor, dtype: torch.dtype, scale: Tensor | None, out: Tensor
) -> Tensor:
    """Write the softmax, times (B, 1, M) ``scale``, to ``out``."""
    if out.is_cuda:
        torch.softmax(logits, 1, dtype, out=out)
        return out if scale is None else out.mul_(scale)
    total = centred(logits, out).exp2_().sum(1, keepdim=True)
    share = total.reciprocal_() if scale is None else scale / total
    return out.mul_(share)


def centred(logits: Tensor, out: Tensor) -> Tensor:
    """Write the logits to base 2, shifted to a maximum over classes of 0."""
    if logits.dtype != out.dtype:
        logits = out.copy_(logits)
    torch.sub(logits, logits.amax(1, keepdim=True), out=out)
    return out.mul_(LOG2_E)


def exp_(power: Tensor) -> Tensor:
    """Compute exp(power) in place.

    On a CPU torch vectorises powers of 2 itself, whereas those of e come
    from a library that is slow on some processors.
    """
    if power.device.type == 'cpu':
        return power.mul_(LOG2_E).exp2_()
    return power.exp_()
