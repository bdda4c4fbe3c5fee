"""Sums and gradient of a piece with any label, norm and activation.

The label is made dense. The formulas stand on top of
:mod:`mmseg_jml.kernels.chunked`.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .pieces import Scratch
from .pixels import (
    exp_,
    hits,
    index_and_weight,
    labelled,
    softmax,
    times_class_weight,
)
from .request import Request
from .results import RegionSums
from .targets import HardLabel, TeacherLogits

__all__ = ['dense_gradient', 'dense_sums', 'piece_entropy']


class DensePixels(NamedTuple):
    """Probabilities and labels of pixels.

    With n = 1 and a softmax, both are multiplied by the pixel weight, which
    costs nothing there. Otherwise the weight is kept apart.

    Attributes:
        prob (Tensor): (B, C, M), w p or, with the weight apart, p.
        label (Tensor): (B, C, M), w y or, with the weight apart, y.
        weight (Tensor, optional): (B, 1, M), w if it is kept apart; None
            means 1.
        inverse (Tensor, optional): (B, 1, M), 1 / w if both are multiplied by
            w, and any finite number where w is 0; None means 1.
        likelihood (Tensor, optional): (B,), the log-likelihood, if asked for.
    """

    prob: Tensor
    label: Tensor
    weight: Tensor | None
    inverse: Tensor | None
    likelihood: Tensor | None


def dense_sums(piece: Request, scratch: Scratch) -> RegionSums:
    """Return the region sums of a piece."""
    norm = piece.norm
    pixels = _pixels(piece, scratch, piece.with_cross_entropy)
    prob, label, weight, inverse, likelihood = pixels
    work = scratch('work', prob.shape)
    rows = [
        _weighted_sum(prob if norm == 1 else prob**norm, weight, work),
        _weighted_sum(label if norm == 1 else label**norm, weight, work),
        _weighted_sum(_overlap(prob, label, norm, work), weight, work),
    ]
    if piece.with_product:
        product = torch.mul(prob, label, out=work)
        outer = weight if inverse is None else inverse
        rows.append(_weighted_sum(product, outer, work))
    if piece.use_sigmoid:
        mass = _weighted_sum(torch.ones_like(label), weight, work)
    elif norm == 1:
        mass = rows[1]
    else:
        mass = _weighted_sum(label, weight, work)
    mass = times_class_weight(piece, mass.double()).sum(1)
    if likelihood is None:
        likelihood = torch.zeros_like(mass)
    hit = hits(piece, *labelled(piece)) if piece.with_hits else None
    return RegionSums(
        torch.stack(rows, 1).double(),
        torch.stack([likelihood, mass], 1),
        _largest(piece, pixels),
        hit,
    )


def dense_gradient(
    piece: Request, slopes: Tensor, scratch: Scratch, out: Tensor
) -> None:
    """Write the gradient to ``out``, (B, C, M)."""
    prob, label, weight, inverse, _ = _pixels(piece, scratch, False)
    slopes = slopes.unsqueeze(3)
    _slope_of_overlap(prob, label, piece.norm, slopes[:, 2], out)
    if piece.norm == 1:
        out.add_(slopes[:, 0])
    else:
        power = piece.norm * prob ** (piece.norm - 1)
        out.addcmul_(power, slopes[:, 0])
    if piece.with_product:
        plain = label if inverse is None else label * inverse
        out.addcmul_(plain, slopes[:, 3])
    out.mul_(prob)
    if piece.use_sigmoid:
        out.addcmul_(out, prob, value=-1)
        if piece.with_cross_entropy:
            out.addcmul_(label - prob, slopes[:, 1])
    else:
        if piece.with_cross_entropy:
            out.addcmul_(label, slopes[:, 1])
        total = out.sum(1, keepdim=True)
        if inverse is not None:
            total *= inverse
        out.addcmul_(prob, total, value=-1)
    if weight is not None:
        out.mul_(weight)


def piece_entropy(piece: Request, scratch: Scratch) -> Tensor:
    """Return the :func:`mmseg_jml.kernels.label_entropy` of a piece."""
    index, weight = index_and_weight(piece)
    label = _dense(piece, index, None, scratch)
    terms = torch.special.entr(label)
    if piece.use_sigmoid:
        terms += torch.special.entr(1 - label)
    by_class = _weighted_sum(terms, weight, terms)
    return by_class.sum(dtype=torch.float64)


def _pixels(
    piece: Request, scratch: Scratch, with_likelihood: bool
) -> DensePixels:
    (index, weight), inverse, factor = index_and_weight(piece), None, None
    if weight is not None and piece.norm == 1 and not piece.use_sigmoid:
        inverse = weight.masked_fill(weight == 0, 1).reciprocal()
        weight, factor = None, weight
    label = _dense(piece, index, factor, scratch)
    out, terms = scratch('prob', label.shape), None
    if piece.use_sigmoid:
        logits = piece.logits.to(piece.dtype)
        if with_likelihood:
            terms = F.binary_cross_entropy_with_logits(
                logits, label, reduction='none'
            ).neg_()
        prob = torch.sigmoid(logits, out=out)
    elif with_likelihood:
        power = torch.log_softmax(piece.logits, 1, piece.dtype, out=out)
        # a class of probability 0 may have a logit of minus infinity
        power.clamp_(min=torch.finfo(piece.dtype).min)
        terms = torch.mul(power, label, out=scratch('work', label.shape))
        prob = exp_(power)
        if factor is not None:
            prob.mul_(factor)
    else:
        prob = softmax(piece.logits, piece.dtype, factor, out)
    if terms is not None:
        by_class = _weighted_sum(terms, weight, terms).double()
        terms = times_class_weight(piece, by_class).sum(1)
    return DensePixels(prob, label, weight, inverse, terms)


def _slope_of_overlap(
    prob: Tensor, label: Tensor, norm: float, slope: Tensor, out: Tensor
) -> None:
    """Write slope d/dp (p^n + y^n - |p - y|^n) / 2 to ``out``."""
    if norm == 2:
        torch.mul(label, slope, out=out)
        return
    torch.sub(label, prob, out=out)
    if norm == 1:
        out.sign_().mul_(slope / 2).add_(slope / 2)
        return
    gap = out.abs() ** (norm - 1)
    out.sign_().mul_(gap).add_(prob ** (norm - 1)).mul_(slope * norm / 2)


def _overlap(prob: Tensor, label: Tensor, norm: float, out: Tensor) -> Tensor:
    """Compute (p^n + y^n - |p - y|^n) / 2 without cancellation."""
    if norm == 1:
        return torch.minimum(prob, label, out=out)
    if norm == 2:
        return torch.mul(prob, label, out=out)
    gap = torch.sub(prob, label, out=out).abs_().pow_(norm)
    return gap.neg_().add_(prob**norm).add_(label**norm).div_(2)


def _dense(
    piece: Request,
    index: Tensor | None,
    factor: Tensor | None,
    scratch: Scratch,
) -> Tensor:
    """Return the label (B, C, M) times ``factor``, finite where ignored."""
    target, shape = piece.target, piece.logits.shape
    if isinstance(target, HardLabel):
        index, out = cast(Tensor, index), scratch('label', shape)
        if target.window is not None:
            return _of_window(target, target.window, index, factor, out)
        return _smoothed(target, index, factor, out)
    value = target.value.to(piece.dtype)
    if isinstance(target, TeacherLogits):
        out = scratch('label', shape)
        if target.temperature != 1:
            work = scratch('work', shape)
            value = torch.div(value, target.temperature, out=work)
        if not target.use_sigmoid:
            return softmax(value, piece.dtype, factor, out)
        value = torch.sigmoid(value, out=out)
    elif factor is None and piece.weight is not None:
        # pixels of weight 0 may hold numbers whose powers overflow
        factor = piece.weight.unsqueeze(1) > 0
    if factor is None:
        return value
    return torch.mul(value, factor, out=scratch('label', shape))


def _smoothed(
    target: HardLabel, index: Tensor, factor: Tensor | None, out: Tensor
) -> Tensor:
    soft = torch.ones_like(index, dtype=out.dtype)
    if target.smoothed is not None:
        # torch vectorises the conversion of bytes, not that of bools
        soft = target.smoothed.view(torch.uint8).unsqueeze(1).to(out.dtype)
    own = 1 - soft * (1 - target.on)
    soft = soft * target.off
    if factor is not None:
        own, soft = own * factor, soft * factor
    return out.copy_(soft).scatter_(1, index, own)


def _of_window(
    target: HardLabel,
    window: Tensor,
    index: Tensor,
    factor: Tensor | None,
    out: Tensor,
) -> Tensor:
    """Write :meth:`HardLabel.dense` of a label with a window to ``out``."""
    total, classes = torch.zeros_like(index, dtype=out.dtype), out.shape[1]
    out.zero_()
    for row in window.unbind(1):  # not at once: an index takes 8 bytes
        votes = (row < classes).to(out.dtype)
        total += votes.sum(1, keepdim=True)
        # whole numbers, whose sum does not depend on the order of additions
        out.scatter_add_(1, row.clamp(max=classes - 1).long(), votes)
    total.clamp_(min=1)
    scale = (1 - target.on) / total
    own = 1 - (total - out.gather(1, index)) * scale
    if factor is not None:
        own, scale = own * factor, scale * factor
    return out.mul_(scale).scatter_(1, index, own)


def _weighted_sum(value: Tensor, weight: Tensor | None, out: Tensor) -> Tensor:
    """Sum over pixels, (B, C, M) -> (B, C); ``out`` is room to work in."""
    if weight is not None:
        value = torch.mul(value, weight, out=out)
    return value.sum(2)


def _largest(piece: Request, pixels: DensePixels) -> Tensor | None:
    """Find the largest p, y or p + y of each class, (B, C)."""
    prob, label, weight, inverse, _ = pixels
    if piece.largest_of is None:
        return None
    value = {'prediction': prob, 'label': label}.get(piece.largest_of)
    if value is None:
        value = prob + label
    if inverse is not None:
        value = value * inverse
    if weight is not None:
        value = value * (weight > 0)
    return value.amax(2).double()
