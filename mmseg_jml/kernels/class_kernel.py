"""Chunks with one class per pixel, smoothed or not; softmax and n = 1.

A pixel's label y has ``on`` at its own class and ``off`` at every other, 1
and 0 where it is not smoothed. So a sum over y is ``off`` times a sum over
all classes, plus a correction at one class, and a dense label is never made.

With probabilities p, pixel weight w and class weight k, let for the slopes
dL/dP, dL/dT, dL/dQ and dL/dE of a loss L::

    u_c = w p_c (dL/dP_c + h(y_c - p_c) dL/dT_c + y_c dL/dQ_c)
          - w k_c y_c dL/dE

with h = 1 at and above 0, else 0, the derivative of min(p, y) by p. Then
dL/dz_c = u_c - p_c sum_k u_k, for the cross-entropy as for the rest. Without
smoothing y is 0 but at one class, where min(p, 1) = p.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .chunks import Chunk, Scratch
from .softmax import LOG2_E, centred, through_softmax, weighted_sum
from .task import Slopes, Task

__all__ = ['BUFFERS', 'gradient', 'sums']

BUFFERS = 2  # tensors of a chunk's size that exist at a time


class _Label(NamedTuple):
    """What there is to know of each pixel, each (B, M)."""

    index: Tensor  # the class, 0 where the pixel is ignored
    weight: Tensor  # w, 0 there
    on: Tensor  # w times the label of that class
    off: Tensor | None  # w times the label of each other; None: 0

    @property
    def gap(self) -> Tensor:
        """What the own class has more than another."""
        return self.on if self.off is None else self.on - self.off


def sums(chunk: Chunk, task: Task, scratch: Scratch) -> tuple:
    """Region sums of a chunk."""
    label, classes = _read(chunk, scratch.dtype), chunk.logits.shape[1]
    power = centred(chunk.logits, scratch('prob', chunk.logits.shape))
    own = _at(power, label.index)
    spread = None
    if task.with_cross_entropy and label.off is not None:
        spread = _sum_over_classes(power, chunk.class_weight, scratch)
    total = power.exp2_().sum(1)
    entropy = None
    if task.with_cross_entropy:
        entropy = _entropy(chunk, label, own, total.log2(), spread)
    share = label.weight / total
    prob = power.mul_(share.unsqueeze(1))  # w p, from here on
    own = own.exp2_().mul_(share)
    prediction = prob.sum(2)
    label_sum = _sum_by_class(label.gap, label.index, classes)
    if label.off is not None:
        label_sum += label.off.sum(1, keepdim=True)
    product = None
    if task.with_product:
        product = _product(chunk, label, prob, own, scratch)
    overlap = _overlap(label, prob, own)
    mass = (
        label_sum
        if chunk.class_weight is None
        else label_sum * chunk.class_weight
    )
    return prediction, label_sum, overlap, product, entropy, mass.sum(1)


def gradient(
    chunk: Chunk,
    task: Task,
    slopes: Slopes,
    scratch: Scratch,
    out: Tensor | None,
) -> Tensor:
    """(B, C, M) gradient of a chunk's logits, in ``out`` where given."""
    label, slopes = _read(chunk, scratch.dtype), slopes.to(scratch.dtype)
    power = centred(chunk.logits, scratch('prob', chunk.logits.shape))
    power.exp2_()
    prob = power.mul_((label.weight / power.sum(1)).unsqueeze(1))
    move = scratch('move', prob.shape)
    if label.off is None:
        torch.mul(prob, slopes.prediction.unsqueeze(2), out=move)
    else:
        _spread_gradient(chunk, label, prob, slopes, move)
    hit = _own_gradient(chunk, label, _at(prob, label.index), slopes)
    move.scatter_add_(1, label.index.unsqueeze(1), hit.unsqueeze(1))
    weight = None if chunk.weight is None else label.weight
    return through_softmax(move, prob, weight, out)


def _spread_gradient(
    chunk: Chunk, label: _Label, prob: Tensor, slopes: Slopes, out: Tensor
) -> None:
    """As if every class had ``off``: writes u to ``out``."""
    torch.ge(label.off.unsqueeze(1), prob, out=out)
    out.mul_(slopes.overlap.unsqueeze(2))
    out.add_(slopes.prediction.unsqueeze(2))
    if slopes.product is not None:
        off = chunk.target.off * _is_smoothed(chunk, out.dtype)
        out.add_(off.unsqueeze(1) * slopes.product.unsqueeze(2))
    if slopes.cross_entropy is None:
        out.mul_(prob)
        return
    pull = (slopes.cross_entropy.unsqueeze(1) * label.off).unsqueeze(1)
    if chunk.class_weight is not None:
        pull = pull * chunk.class_weight.unsqueeze(1)
    torch.addcmul(-pull, out, prob, out=out)


def _own_gradient(
    chunk: Chunk, label: _Label, own: Tensor, slopes: Slopes
) -> Tensor:
    """What the own class has more of u, (B, M), given its w p."""
    steep = slopes.overlap.gather(1, label.index)
    if label.off is not None:
        steep *= _reaches(label.on, own).sub_(_reaches(label.off, own))
    if slopes.product is not None:
        product = slopes.product.gather(1, label.index)
        steep += (
            product
            if label.off is None
            else product * _plain_gap(chunk, product.dtype)
        )
    hit = steep.mul_(own)
    if slopes.cross_entropy is not None:
        hit -= slopes.cross_entropy.unsqueeze(1) * _own_mass(chunk, label)
    return hit


def _overlap(label: _Label, prob: Tensor, own: Tensor) -> Tensor:
    """Sum of w min(p, y), (B, C), given w p; overwrites ``prob``."""
    classes = prob.shape[1]
    if label.off is None:
        return _sum_by_class(own, label.index, classes)
    excess = torch.minimum(own, label.on)
    excess -= torch.minimum(own, label.off)
    spread = torch.minimum(prob, label.off.unsqueeze(1), out=prob).sum(2)
    return spread + _sum_by_class(excess, label.index, classes)


def _product(
    chunk: Chunk, label: _Label, prob: Tensor, own: Tensor, scratch: Scratch
) -> Tensor:
    """Sum of w p y, (B, C), given w p."""
    classes = prob.shape[1]
    if label.off is None:
        return _sum_by_class(own, label.index, classes)
    off = chunk.target.off * _is_smoothed(chunk, prob.dtype)
    spread = weighted_sum(prob, off, scratch('move', prob.shape))
    gap = _plain_gap(chunk, prob.dtype)
    return spread + _sum_by_class(own * gap, label.index, classes)


def _entropy(
    chunk: Chunk,
    label: _Label,
    own: Tensor,
    log_total: Tensor,
    spread: Tensor | None,
) -> Tensor:
    """Sum of w k y (-log p) over pixels and classes, (B, )."""
    value = ((log_total - own) * _own_mass(chunk, label)).sum(1)
    if spread is not None:
        mass = (
            chunk.logits.shape[1]
            if chunk.class_weight is None
            else chunk.class_weight.sum()
        )
        value += ((log_total * mass - spread) * label.off).sum(1)
    return value / LOG2_E


def _own_mass(chunk: Chunk, label: _Label) -> Tensor:
    """(B, M) w k (on - off) at the own class."""
    if chunk.class_weight is None:
        return label.gap
    scale = chunk.class_weight.expand(len(label.index), -1)
    return label.gap * scale.gather(1, label.index)


def _read(chunk: Chunk, dtype: torch.dtype) -> _Label:
    target, index = chunk.target, chunk.target.label
    if target.ignore_index is None:
        weight = torch.ones_like(index, dtype=dtype)
    else:
        ignored = index == target.ignore_index
        index = index.masked_fill(ignored, 0)
        weight = (~ignored).to(dtype)
    if chunk.weight is not None:
        weight *= chunk.weight
    if not target.is_smoothed:
        return _Label(index, weight, weight, None)
    smoothed = _is_smoothed(chunk, dtype).mul_(weight)
    on = torch.sub(weight, smoothed, alpha=1 - target.on)
    return _Label(index, weight, on, smoothed.mul_(target.off))


def _is_smoothed(chunk: Chunk, dtype: torch.dtype) -> Tensor:
    """(B, M), 1 or 0; a new tensor."""
    if chunk.target.smoothed is None:
        return torch.ones_like(chunk.target.label, dtype=dtype)
    # torch vectorises the conversion of bytes, not that of bools
    return chunk.target.smoothed.view(torch.uint8).to(dtype)


def _plain_gap(chunk: Chunk, dtype: torch.dtype) -> Tensor:
    """(B, M), on - off without the weight; 1 where not smoothed."""
    loss = 1 - (chunk.target.on - chunk.target.off)
    return 1 - loss * _is_smoothed(chunk, dtype)


def _reaches(label: Tensor, prob: Tensor) -> Tensor:
    """1 where the label is as high as the probability, else 0."""
    return torch.ge(label, prob, out=torch.empty_like(prob))


def _at(value: Tensor, index: Tensor) -> Tensor:
    """(B, C, M) at one class per pixel, (B, M)."""
    return value.gather(1, index.unsqueeze(1)).squeeze(1)


def _sum_over_classes(
    value: Tensor, class_weight: Tensor | None, scratch: Scratch
) -> Tensor:
    if class_weight is None:
        return value.sum(1)
    return torch.mul(
        value, class_weight.unsqueeze(1), out=scratch('move', value.shape)
    ).sum(1)


def _sum_by_class(value: Tensor, index: Tensor, classes: int) -> Tensor:
    """Sum of the (B, M) ``value`` over each class's pixels, (B, C)."""
    if value.device.type == 'cpu':
        total = value.new_zeros(len(value), classes, dtype=torch.float64)
        return total.scatter_add_(1, index, value.double())
    # without atomic additions, whose order varies from run to run
    every = torch.arange(classes, device=index.device).unsqueeze(1)
    return ((index.unsqueeze(1) == every) * value.unsqueeze(1)).sum(2)
