"""Sums and gradient of a piece with one class per pixel of probability 1.

What concerns the labelled class alone is gathered, computed and scattered
back. The formulas stand on top of :mod:`mmseg_jml.kernels.chunked`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .pieces import Scratch
from .pixels import LOG2_E, centred, exp_, hits, labelled, softmax
from .request import Request
from .results import RegionSums

__all__ = ['HardPixels', 'gradient_of', 'hard_gradient', 'hard_sums']


class HardPixels(NamedTuple):
    """What the gradient needs of the pixels.

    Attributes:
        prob (Tensor): (B, C, M), w p.
        own (Tensor): (B, 1, M), w p of the labelled class.
        label (Tensor): (B, 1, M), the class; any class where w is 0.
        twice (Tensor): (B, 2, M), ``label`` expanded to two rows.
        weight (Tensor): (B, 1, M), w; bools stand for 0 and 1.
    """

    prob: Tensor
    own: Tensor
    label: Tensor
    twice: Tensor
    weight: Tensor


def hard_sums(piece: Request, out: Tensor | None) -> RegionSums:
    """Return the region sums of a piece; T sums w p at the labelled class.

    For a large piece ``out``, (B, C, M), is room for w p.
    """
    index, weight = labelled(piece)
    twice = index.expand(-1, 2, -1)
    if out is None or out.is_cuda:
        # fewer calls, which count for a small batch and on a GPU; below are
        # fewer passes over memory, which count for a large one
        power = torch.log_softmax(piece.logits, 1, piece.dtype, out=out)
        likelihood = power.gather(1, index)
        prob = exp_(power).mul_(weight)
    else:
        power = centred(piece.logits, out)
        likelihood = power.gather(1, index)
        total = power.exp2_().sum(1, keepdim=True)
        likelihood.sub_(total.log2()).div_(LOG2_E)
        prob = power.mul_(weight / total)
    # a logit may be minus infinity, and 0 times that is NaN
    likelihood.clamp_(torch.finfo(piece.dtype).min)
    own, scale = prob.gather(1, index), weight
    if piece.class_weight is not None:
        scale = weight * piece.class_weight.to(likelihood)[index]
    likelihood.mul_(scale if piece.with_cross_entropy else 0)
    rows = torch.cat([likelihood, scale, weight, own], 1).double()
    label_and_overlap = _sum_by_class(rows[:, 2:], twice, prob)
    by_class = [prob.sum(2).unsqueeze(1), label_and_overlap]
    if piece.with_product:
        by_class.append(label_and_overlap[:, 1:])
    return RegionSums(
        torch.cat(by_class, 1),
        rows[:, :2].sum(2),
        hits=hits(piece, index, weight) if piece.with_hits else None,
        kept=HardPixels(prob, own, index, twice, weight),
    )


def hard_gradient(
    piece: Request, slopes: Tensor, scratch: Scratch, out: Tensor
) -> None:
    """Write the gradient to ``out``, (B, C, M)."""
    index, weight = labelled(piece)
    room = scratch('prob', piece.logits.shape)
    prob = softmax(piece.logits, piece.dtype, weight, room)
    own, twice = prob.gather(1, index), index.expand(-1, 2, -1)
    gradient_of(HardPixels(prob, own, index, twice, weight), slopes, out)


def gradient_of(
    pixels: HardPixels, slopes: Tensor, out: Tensor | None
) -> Tensor:
    """Return the gradient, (B, C, M), from slopes (B or 1, 3 or 4, C)."""
    prob, own, index, twice, weight = pixels
    out = torch.mul(prob, slopes[:, 0].unsqueeze(2), out=out)
    labelled_slopes = slopes[:, 1:3]
    if slopes.shape[1] > 3:  # the product equals the overlap
        by_overlap = slopes[:, 2:].sum(1, True)
        labelled_slopes = torch.cat([slopes[:, 1:2], by_overlap], 1)
    rows = labelled_slopes.expand(len(prob), -1, -1).gather(2, twice)
    by_likelihood, by_overlap = rows.split(1, 1)
    term = torch.addcmul(by_overlap * own, by_likelihood, weight)
    out.scatter_add_(1, index, term)
    total = out.sum(1, keepdim=True)
    if weight.is_floating_point():
        total /= weight.masked_fill(weight == 0, 1)
    return out.addcmul_(prob, total, value=-1)


def _sum_by_class(rows: Tensor, index: Tensor, prob: Tensor) -> Tensor:
    """Sum (B, 2, M) float64 over the pixels of each class, to (B, 2, C)."""
    classes = prob.shape[1]
    if not rows.is_cuda:
        total = rows.new_zeros(len(rows), rows.shape[1], classes)
        return total.scatter_add_(2, index, rows)
    # without atomic additions, whose order varies from run to run
    every = torch.arange(classes, device=rows.device).unsqueeze(1)
    elsewhere = index[:, :1] != every
    sums = [
        row.expand_as(elsewhere).masked_fill(elsewhere, 0).sum(2)
        for row in rows.to(prob.dtype).split(1, 1)
    ]
    return torch.stack(sums, 1).double()
