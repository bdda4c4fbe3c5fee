"""Chunks whose label is a distribution over classes; softmax and n = 1.

The formulas are those of ``class_kernel``, with a label y_c of each class, and
with h = 1/2 at 0: where p = y, which soft labels are to reach.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .chunks import Chunk, Scratch
from .softmax import LOG2_E, centred, through_softmax, weighted_sum
from .targets import TeacherLogits
from .task import Slopes, Task

__all__ = ['BUFFERS', 'gradient', 'sums']

BUFFERS = 2  # tensors of a chunk's size that exist at a time


def sums(chunk: Chunk, task: Task, scratch: Scratch) -> tuple:
    """Region sums of a chunk."""
    label, weight = _read(chunk, scratch), chunk.weight
    power = centred(chunk.logits, scratch('prob', label.shape))
    work = scratch('move', label.shape)
    if task.with_cross_entropy:
        cross = weighted_sum(torch.mul(label, power, out=work), weight, work)
    total = power.exp2_().sum(1)
    prob = power.mul_(total.reciprocal().unsqueeze(1))
    overlap = weighted_sum(torch.minimum(prob, label, out=work), weight, work)
    product = entropy = None
    if task.with_product:
        product = weighted_sum(torch.mul(prob, label, out=work), weight, work)
    label_sum = mass = weighted_sum(label, weight, work)
    if chunk.class_weight is not None:
        mass = label_sum * chunk.class_weight
    if task.with_cross_entropy:
        if chunk.class_weight is not None:
            cross = cross * chunk.class_weight
            label = torch.mul(label, chunk.class_weight.unsqueeze(1), out=work)
        shared = label.sum(1).mul_(total.log2_())
        if weight is not None:
            shared.mul_(weight)
        entropy = (shared.sum(1) - cross.sum(1)) / LOG2_E
    prediction = weighted_sum(prob, weight, prob)
    return prediction, label_sum, overlap, product, entropy, mass.sum(1)


def gradient(
    chunk: Chunk,
    task: Task,
    slopes: Slopes,
    scratch: Scratch,
    out: Tensor | None,
) -> Tensor:
    """(B, C, M) gradient of a chunk's logits, in ``out`` where given."""
    label, weight = _read(chunk, scratch), chunk.weight
    slopes = slopes.to(scratch.dtype)
    power = centred(chunk.logits, scratch('prob', label.shape))
    power.exp2_()
    prob = power.mul_(power.sum(1, keepdim=True).reciprocal_())
    move = torch.sub(label, prob, out=scratch('move', label.shape))
    half = slopes.overlap.unsqueeze(2) / 2
    move.sign_().mul_(half).add_(slopes.prediction.unsqueeze(2) + half)
    if slopes.product is not None:
        move.addcmul_(label, slopes.product.unsqueeze(2))
    if weight is not None:
        prob.mul_(weight.unsqueeze(1))
    move.mul_(prob)
    if slopes.cross_entropy is not None:
        _subtract_label(chunk, label, slopes.cross_entropy, move, scratch)
    return through_softmax(move, prob, weight, out)


def _subtract_label(
    chunk: Chunk, label: Tensor, slope: Tensor, move: Tensor, scratch: Scratch
) -> None:
    """Takes w k y dL/dE off ``move``."""
    if chunk.class_weight is not None:
        label = torch.mul(
            label,
            chunk.class_weight.unsqueeze(1),
            out=scratch('label', label.shape),
        )
    pull = slope.unsqueeze(1).expand_as(label[:, 0])
    # a row in memory, since torch vectorises that and no broadcast number
    pull = pull.contiguous() if chunk.weight is None else pull * chunk.weight
    move.addcmul_(label, pull.unsqueeze(1), value=-1)


def _read(chunk: Chunk, scratch: Scratch) -> Tensor:
    """The (B, C, M) label, in the dtype to compute in."""
    target, shape = chunk.target, chunk.logits.shape
    if not isinstance(target, TeacherLogits) or target.use_sigmoid:
        return target.dense(shape[1], scratch.dtype)
    power = centred(target.value, scratch('label', shape), target.temperature)
    power.exp2_()
    return power.mul_(power.sum(1, keepdim=True).reciprocal_())
