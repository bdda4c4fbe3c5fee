"""The softmax of a chunk, and the way back through it.

Exponentials are of base 2: torch vectorises these itself, whereas those of
base e come from a library that is slow on some processors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ['LOG2_E', 'centred', 'through_softmax', 'weighted_sum']

LOG2_E = 1 / math.log(2)


def centred(logits: Tensor, out: Tensor, temperature: float = 1.0) -> Tensor:
    """log2 of exp(logits / temperature), with a maximum over classes of 0.

    Args:
        logits (Tensor): (B, C, M).
        out (Tensor): (B, C, M), receives and is the result.
        temperature (float): Defaults to 1.0.

    Returns:
        Tensor: ``out``.
    """
    out.copy_(logits)
    out.sub_(out.amax(1, keepdim=True))
    return out.mul_(LOG2_E / temperature)


def through_softmax(
    move: Tensor, prob: Tensor, weight: Tensor | None, out: Tensor | None
) -> Tensor:
    """Gradient of the logits, u - p sum(u).

    Args:
        move (Tensor): (B, C, M), u = w p dL/dp; overwritten without ``out``.
        prob (Tensor): (B, C, M), w p.
        weight (Tensor, optional): (B, M), w; None means 1, or 0 where
            ``move`` and ``prob`` are 0 too.
        out (Tensor, optional): (B, C, M), receives the result.

    Returns:
        Tensor: ``out`` or ``move``.
    """
    total = move.sum(1)
    if weight is not None:
        total /= weight.masked_fill(weight == 0, 1)
    out = move if out is None else out
    return torch.addcmul(move, prob, total.unsqueeze(1), value=-1, out=out)


def weighted_sum(value: Tensor, weight: Tensor | None, out: Tensor) -> Tensor:
    """Sum over pixels, (B, C, M) -> (B, C).

    Args:
        value (Tensor): (B, C, M).
        weight (Tensor, optional): (B, M); None means 1.
        out (Tensor): (B, C, M), room to work in; may be ``value``.
    """
    if weight is not None:
        value = torch.mul(value, weight.unsqueeze(1), out=out)
    return value.sum(2)
