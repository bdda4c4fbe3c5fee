"""Chunks of softmax probabilities with n = 1, by formula.

With logits z, p their softmax, label y, pixel weight w and class weight k::

    P = sum w p     Y = sum w y     T = sum w min(p, y)     Q = sum w p y
    E = sum w k_c y_c (-log p_c)

For given slopes dL/dP, dL/dT, dL/dQ and dL/dE of the loss L, let::

    u_c = w p_c (dL/dP_c + h(y_c - p_c) dL/dT_c + y_c dL/dQ_c)
          - w k_c y_c dL/dE

with h = 0, 1/2, 1 below, at and above 0. Then dL/dz_c = u_c - p_c sum_k u_k,
for the cross-entropy as for the rest. At a hard label y_c is 0 except for one
class, and min(p, y) = p y, so that u needs one class besides the first term.

Exponentials are of base 2: torch vectorises them itself, whereas those of
base e come from a library that is slow on some processors.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor

from .chunks import Chunk, Scratch
from .targets import HardLabel, Probabilities, Target, TeacherLogits
from .task import Slopes, Task

__all__ = ['gradient', 'sums']

_LOG2_E = 1 / math.log(2)


def sums(chunk: Chunk, task: Task, scratch: Scratch) -> tuple:
    """Region sums of a chunk."""
    parts = [
        (_hard_sums if _is_hard(part.target) else _soft_sums)(
            part, task, scratch) for part, _ in _parts(chunk)]
    prediction, label, overlap, product, entropy = (
        None if value[0] is None else sum(value) for value in zip(*parts))
    mass = label if chunk.class_weight is None \
        else label * chunk.class_weight
    return prediction, label, overlap, product, entropy, mass.sum(1)


def gradient(chunk: Chunk, task: Task, slopes: Slopes,
             scratch: Scratch) -> Tensor:
    """(B, C, M) gradient of a chunk's logits."""
    slopes = slopes.to(scratch.dtype)
    total = None
    for part, pixels in _parts(chunk):
        value = (_hard_gradient if _is_hard(part.target) else
                 _soft_gradient)(part, slopes, scratch)
        total = value if total is None \
            else total.index_copy_(2, pixels, value)
    return total


def _is_hard(target: Target) -> bool:
    return isinstance(target, HardLabel) and not target.is_smoothed


def _parts(chunk: Chunk) -> list[tuple[Chunk, Tensor | None]]:
    """The chunk, or its hard pixels and then its few smoothed ones."""
    target = chunk.target
    if not isinstance(target, HardLabel) or target.smoothed is None:
        return [(chunk, None)]
    # the number of smoothed pixels is not known to the host of a GPU
    if target.label.device.type != 'cpu' or len(target.label) > 1:
        return [(chunk, None)]
    smoothed, = target.smoothed[0].nonzero(as_tuple=True)
    if 2 * len(smoothed) > target.label.shape[1]:
        return [(chunk, None)]
    hard = chunk._replace(
        target=HardLabel(target.label, target.ignore_index),
        weight=chunk.weight.masked_fill(target.smoothed, 0))
    soft = chunk._replace(
        logits=chunk.logits[:, :, smoothed],
        target=HardLabel(target.label[:, smoothed], target.ignore_index,
                         target.on, target.off),
        weight=chunk.weight[:, smoothed])
    return [(hard, None), (soft, smoothed)]


def _hard_sums(chunk: Chunk, task: Task, scratch: Scratch) -> tuple:
    label, weight = _class_of(chunk), chunk.weight
    power = _centre(chunk.logits, scratch('hard prob', chunk.logits.shape))
    own = power.gather(1, label.unsqueeze(1)).squeeze(1)
    total = power.exp2_().sum(1)
    share = weight / total
    classes = power.shape[1]
    overlap = _sum_by_class(own.exp2() * share, label, classes)
    entropy = None
    if task.with_cross_entropy:
        if chunk.class_weight is not None:
            weight = weight * chunk.class_weight[label]
        entropy = (weight * (total.log2() - own)).sum(1) / _LOG2_E
    return (power.mul_(share.unsqueeze(1)).sum(2),
            _sum_by_class(chunk.weight, label, classes), overlap,
            overlap if task.with_product else None, entropy)


def _hard_gradient(chunk: Chunk, slopes: Slopes,
                   scratch: Scratch) -> Tensor:
    label, weight = _class_of(chunk), chunk.weight
    power = _centre(chunk.logits, scratch('hard prob', chunk.logits.shape))
    power.exp2_()
    prob = power.mul_((weight / power.sum(1)).unsqueeze(1))
    move = torch.mul(prob, slopes.prediction.unsqueeze(2),
                     out=scratch('hard move', prob.shape))
    own = prob.gather(1, label.unsqueeze(1)).squeeze(1)
    hit = own * slopes.overlap.gather(1, label)
    if slopes.product is not None:
        hit += own * slopes.product.gather(1, label)
    if slopes.cross_entropy is not None:
        if chunk.class_weight is not None:
            weight = weight * chunk.class_weight[label]
        hit -= slopes.cross_entropy.unsqueeze(1) * weight
    move.scatter_add_(1, label.unsqueeze(1), hit.unsqueeze(1))
    return _through_softmax(move, prob, chunk.weight)


def _soft_sums(chunk: Chunk, task: Task, scratch: Scratch) -> tuple:
    label, weight = _dense_label(chunk, scratch), chunk.weight
    power = _centre(chunk.logits, scratch('soft prob', label.shape))
    work = scratch('soft work', label.shape)
    if task.with_cross_entropy:
        cross = _sum(torch.mul(label, power, out=work), weight, work)
    total = power.exp2_().sum(1)
    prob = power.mul_(total.reciprocal().unsqueeze(1))
    overlap = _sum(torch.minimum(prob, label, out=work), weight, work)
    product = entropy = None
    if task.with_product:
        product = _sum(torch.mul(prob, label, out=work), weight, work)
    label_sum = _sum(label, weight, work)
    if task.with_cross_entropy:
        if chunk.class_weight is not None:
            cross = cross * chunk.class_weight
            label = torch.mul(label, chunk.class_weight.unsqueeze(1), out=work)
        # log2 of the softmax's denominator, once for all classes
        shared = label.sum(1).mul_(total.log2_())
        shared = shared if weight is None else shared.mul_(weight)
        entropy = (shared.sum(1) - cross.sum(1)) / _LOG2_E
    return _sum(prob, weight, prob), label_sum, overlap, product, entropy


def _soft_gradient(chunk: Chunk, slopes: Slopes,
                   scratch: Scratch) -> Tensor:
    label, weight = _dense_label(chunk, scratch), chunk.weight
    power = _centre(chunk.logits, scratch('soft prob', label.shape))
    power.exp2_()
    prob = power.mul_(power.sum(1, keepdim=True).reciprocal_())
    move = torch.sub(label, prob, out=scratch('soft work', label.shape))
    half = slopes.overlap.unsqueeze(2) / 2
    move.sign_().mul_(half).add_(slopes.prediction.unsqueeze(2) + half)
    if slopes.product is not None:
        move.addcmul_(label, slopes.product.unsqueeze(2))
    if weight is not None:
        prob.mul_(weight.unsqueeze(1))
    move.mul_(prob)
    if slopes.cross_entropy is not None:
        pull = slopes.cross_entropy.unsqueeze(1)
        pull = pull.expand_as(move[:, 0]).contiguous() if weight is None \
            else pull * weight
        if chunk.class_weight is not None:
            label = torch.mul(label, chunk.class_weight.unsqueeze(1),
                              out=scratch('soft label', label.shape))
        move.addcmul_(label, pull.unsqueeze(1), value=-1)
    return _through_softmax(move, prob, weight)


def _through_softmax(move: Tensor, prob: Tensor,
                     weight: Tensor | None) -> Tensor:
    """u - p sum(u), given u and w p."""
    total = move.sum(1)
    if weight is not None:
        total /= weight.masked_fill(weight == 0, 1)
    return move.addcmul_(prob, total.unsqueeze(1), value=-1)


def _centre(logits: Tensor, out: Tensor, temperature: float = 1.0) -> Tensor:
    """log2 of exp(logits / temperature), its maximum over classes at 0."""
    out.copy_(logits)
    return out.sub_(out.amax(1, keepdim=True)).mul_(_LOG2_E / temperature)


def _class_of(chunk: Chunk) -> Tensor:
    """(B, M) class of each pixel, any class where the pixel has weight 0."""
    return chunk.target.label.masked_fill(chunk.weight == 0, 0)


def _dense_label(chunk: Chunk, scratch: Scratch) -> Tensor:
    """(B, C, M) soft label of a chunk."""
    target, shape = chunk.target, chunk.logits.shape
    if isinstance(target, Probabilities):
        return target.value.to(scratch.dtype)
    if isinstance(target, TeacherLogits) and target.use_sigmoid:
        return target.dense(shape[1], scratch.dtype)
    if isinstance(target, TeacherLogits):
        out = scratch('soft label', shape)
        power = _centre(target.value, out, target.temperature).exp2_()
        return power.mul_(power.sum(1, keepdim=True).reciprocal_())
    on, off = target.on, target.off
    label, out = _class_of(chunk).unsqueeze(1), scratch('soft label', shape)
    if target.smoothed is None:
        return out.fill_(off).scatter_(1, label, on)
    smoothed = target.smoothed.unsqueeze(1)
    out.copy_(torch.where(smoothed, off, 0.0).to(out.dtype).expand(shape))
    return out.scatter_(1, label, torch.where(smoothed, on, 1.0).to(out.dtype))


def _sum(value: Tensor, weight: Tensor | None, out: Tensor) -> Tensor:
    """Weighted sum over pixels, (B, C, M) -> (B, C); ``out`` is for work."""
    if weight is not None:
        value = torch.mul(value, weight.unsqueeze(1), out=out)
    return value.sum(2)


def _sum_by_class(value: Tensor, label: Tensor, classes: int) -> Tensor:
    """Sum of the (B, M) ``value`` over the pixels of each class, (B, C)."""
    if value.device.type == 'cpu':
        images = len(label)
        if images > 1:
            label = label + classes * torch.arange(images).unsqueeze(1)
        return torch.bincount(
            label.flatten(), value.flatten().double(),
            images * classes).view(images, classes)
    # without atomic additions, whose order varies from run to run
    known = torch.arange(classes, device=label.device).unsqueeze(1)
    return (label.unsqueeze(1) == known).mul(value.unsqueeze(1)).sum(2)
