"""Region sums in plain PyTorch on any device, in bounded memory.

Nothing is kept for the backward pass but the inputs: it computes the
probabilities of each piece again, and then the piece's gradient. So the one
tensor of the logits' size that ever exists besides them is their gradient.

With probability p, label y, pixel weight w and class weight k, and
with the derivatives A, B and Q of a loss by the sums P, T and of the product,
and e that by the log-likelihood times k, the softmax gives the gradient::

    u_c = w p_c (A_c n p_c^(n-1) + B_c t_c + Q_c y_c) + w e_c y_c
    dL/dz_c = u_c - p_c sum_d u_d

where t is the derivative of (p^n + y^n - |p - y|^n) / 2 by p; for n = 1 that
is 1, 1/2 or 0 where p is below, at or above y. A label that is one class of
probability 1 has t = y and needs no dense label.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .bands import Scratch, cut, gradient_by_pieces
from .request import HardLabel, RegionSums, Request, TeacherLogits

__all__ = ['gradient', 'label_entropy', 'sums']

# Logits of a piece. On a CPU a piece and two buffers of its size fit into the
# cache, and a piece is large enough to hide what a call costs. On a GPU a
# launch costs more than memory: there it is a share of all logits.
_PIECE_ON_CPU = 2**19
_LEAST_PIECE_ON_GPU = 2**22
_LOG2_E = 1 / math.log(2)


def sums(request: Request) -> RegionSums:
    """Region sums of a request."""
    scratch = Scratch(request)
    pieces = cut(request, _elements(request), scratch)
    sparse, total = _is_sparse(request), None
    for index in pieces:
        piece = pieces.read(index)
        if sparse and not request.logits.is_cuda and pieces.is_whole(index):
            # small enough to keep what the gradient would compute again
            return _hard_sums(piece)
        if total is None:
            total = RegionSums.zeros(request)
        if sparse:
            part = _hard_sums(piece, scratch('prob', piece.logits.shape))
        else:
            part = _dense_sums(piece, scratch)
        total.add_(part, index.images)
    return RegionSums.zeros(request) if total is None else total


def gradient(request: Request, slopes: Tensor, kept: object = None) -> Tensor:
    """Gradient of the logits.

    Args:
        request (Request): That of the sums.
        slopes (Tensor): (N or 1, 3 or 4, C), as in
            :class:`mmseg_jml.kernels.Reduction`.
        kept (object, optional): ``RegionSums.kept``. Defaults to None.

    Returns:
        Tensor: (N, C, *), laid out and typed like the logits.
    """
    slopes = slopes.to(request.dtype)
    if kept is not None:
        value = _hard_gradient(slopes, kept)
        return value.view(request.logits.shape).to(request.logits.dtype)
    write = _write_hard if _is_sparse(request) else _dense_gradient
    return gradient_by_pieces(request, slopes, _elements(request), write)


@torch.no_grad()
def label_entropy(request: Request) -> Tensor:
    """Sum of w sum_c (-y_c log y_c) over all pixels, a float64 scalar.

    With sigmoid each class adds -(1 - y) log(1 - y) too.
    """
    scratch = Scratch(request)
    pieces = cut(request, _elements(request), scratch)
    total = request.logits.new_zeros((), dtype=torch.float64)
    for index in pieces:
        piece = pieces.read(index)
        label, weight = _dense_label(piece, None, scratch), _weight(piece)
        terms = torch.special.entr(label)
        if piece.use_sigmoid:
            terms += torch.special.entr(1 - label)
        total += _weighted_sum(terms, weight, terms).sum(dtype=torch.float64)
    return total


def _elements(request: Request) -> int:
    logits = request.logits
    if logits.device.type == 'cpu':
        # a band needs buffers for upsampling besides
        return _PIECE_ON_CPU // (2 if request.is_upsampled else 1)
    # three buffers in float32 take half the memory of the logits
    share = logits.numel() * logits.element_size() // 24
    return max(_LEAST_PIECE_ON_GPU, share)


def _is_sparse(request: Request) -> bool:
    """Whether no label has to be made dense."""
    softmax = request.norm == 1 and not request.use_sigmoid
    return softmax and request.is_hard and request.largest_of is None


class _HardPixels(NamedTuple):
    """What there is to know of pixels with one class each.

    Attributes:
        prob (Tensor): (B, C, M), w p.
        own (Tensor): (B, 1, M), that of the pixel's class.
        index (Tensor): (B, 1, M), the class; any where the weight is 0.
        twice (Tensor): (B, 2, M), a view of ``index``.
        weight (Tensor): (B, 1, M), w; bools stand for 0 and 1.
    """

    prob: Tensor
    own: Tensor
    index: Tensor
    twice: Tensor
    weight: Tensor


def _hard_sums(piece: Request, out: Tensor | None = None) -> RegionSums:
    """Sums where T is the sum of w p at the labelled class."""
    index, weight = _labelled(piece)
    twice = index.expand(-1, 2, -1)
    if out is None or out.is_cuda:
        # a small batch and a GPU pay for calls, a large one for passes
        power = torch.log_softmax(piece.logits, 1, piece.dtype, out=out)
        likelihood = power.gather(1, index)
        prob = _exp_(power).mul_(weight)
    else:
        power = _centred(piece.logits, out)
        likelihood = power.gather(1, index)
        total = power.exp2_().sum(1, keepdim=True)
        likelihood.sub_(total.log2()).div_(_LOG2_E)
        prob = power.mul_(weight / total)
    # a logit may be minus infinity, and 0 times that is NaN
    likelihood.clamp_(torch.finfo(piece.dtype).min)
    own = prob.gather(1, index)
    scale = weight
    if piece.class_weight is not None:
        scale = weight * piece.class_weight.to(piece.dtype)[index]
    likelihood.mul_(scale if piece.with_cross_entropy else 0)
    rows = torch.cat([likelihood, scale, weight, own], 1).double()
    by_class = _sum_by_class(rows[:, 2:], twice, piece.logits.shape[1])
    by_class = [prob.sum(2).unsqueeze(1), by_class]
    if piece.with_product:
        by_class.append(by_class[1][:, 1:])
    return RegionSums(
        torch.cat(by_class, 1),
        rows[:, :2].sum(2),
        hits=_hits(piece, index, weight),
        kept=_HardPixels(prob, own, index, twice, weight),
    )


def _hard_gradient(
    slopes: Tensor, pixels: _HardPixels, out: Tensor | None = None
) -> Tensor:
    """The gradient, (B, C, M), in ``out`` where given."""
    prob, own, index, twice, weight = pixels
    out = torch.mul(prob, slopes[:, 0].unsqueeze(2), out=out)
    steep = slopes[:, 1:3]
    if slopes.shape[1] > 3:
        steep = torch.cat([steep[:, :1], slopes[:, 2:].sum(1, True)], 1)
    steep = steep.expand(len(prob), -1, -1).gather(2, twice)
    pull, steep = steep.split(1, 1)
    move = torch.addcmul(steep * own, pull, weight)
    out.scatter_add_(1, index, move)
    total = out.sum(1, keepdim=True)
    if weight.is_floating_point():
        total /= weight.masked_fill(weight == 0, 1)
    return out.addcmul_(prob, total, value=-1)


def _write_hard(
    piece: Request, slopes: Tensor, scratch: Scratch, out: Tensor
) -> None:
    """Writes the gradient to ``out``, (B, C, M)."""
    _hard_gradient(slopes, _hard_pixels(piece, scratch), out)


def _hard_pixels(piece: Request, scratch: Scratch) -> _HardPixels:
    index, weight = _labelled(piece)
    out = scratch('prob', piece.logits.shape)
    prob = _softmax(piece.logits, piece.dtype, weight, out)
    own, twice = prob.gather(1, index), index.expand(-1, 2, -1)
    return _HardPixels(prob, own, index, twice, weight)


def _dense_sums(piece: Request, scratch: Scratch) -> RegionSums:
    """Sums of any label, norm and activation."""
    norm = piece.norm
    pixels, likelihood = _dense_pixels(
        piece, scratch, piece.with_cross_entropy
    )
    prob, label, weight, inverse = pixels
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
    mass = _times_class_weight(piece, mass.double()).sum(1)
    if likelihood is None:
        likelihood = torch.zeros_like(mass)
    hits = None
    if piece.with_hits:
        hits = _hits(piece, *_labelled(piece))
    return RegionSums(
        torch.stack(rows, 1).double(),
        torch.stack([likelihood, mass], 1),
        _largest(piece, pixels),
        hits,
    )


def _dense_gradient(
    piece: Request, slopes: Tensor, scratch: Scratch, out: Tensor
) -> None:
    """Writes the gradient to ``out``, (B, C, M)."""
    pixels, _ = _dense_pixels(piece, scratch, False)
    prob, label, weight, inverse = pixels
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


class _DensePixels(NamedTuple):
    """Probabilities and labels of pixels.

    With n = 1 and a softmax the pixel weight is a factor of both, which costs
    nothing; otherwise it stands beside them.

    Attributes:
        prob (Tensor): (B, C, M), p or w p.
        label (Tensor): (B, C, M), y or w y.
        weight (Tensor, optional): (B, 1, M), w where it stands beside them;
            None means 1.
        inverse (Tensor, optional): (B, 1, M), 1 / w where w is a factor, and
            anything finite where w is 0; None means 1.
    """

    prob: Tensor
    label: Tensor
    weight: Tensor | None
    inverse: Tensor | None


def _dense_pixels(
    piece: Request, scratch: Scratch, with_likelihood: bool
) -> tuple[_DensePixels, Tensor | None]:
    """The pixels of a piece, and the log-likelihood of each image."""
    weight, inverse, factor = _weight(piece), None, None
    if weight is not None and piece.norm == 1 and not piece.use_sigmoid:
        inverse = weight.masked_fill(weight == 0, 1).reciprocal()
        weight, factor = None, weight
    label = _dense_label(piece, factor, scratch)
    activate = _sigmoid if piece.use_sigmoid else _softmax_of
    prob, terms = activate(piece, label, factor, scratch, with_likelihood)
    likelihood = None
    if terms is not None:
        terms = _weighted_sum(terms, weight, terms).double()
        likelihood = _times_class_weight(piece, terms).sum(1)
    return _DensePixels(prob, label, weight, inverse), likelihood


def _sigmoid(
    piece: Request,
    label: Tensor,
    factor: Tensor | None,
    scratch: Scratch,
    with_terms: bool,
) -> tuple[Tensor, Tensor | None]:
    """Probabilities, and the log-likelihood of each pixel and class."""
    logits, terms = piece.logits.to(piece.dtype), None
    if with_terms:
        terms = F.binary_cross_entropy_with_logits(
            logits, label, reduction='none'
        ).neg_()
    out = scratch('prob', label.shape)
    return torch.sigmoid(logits, out=out), terms


def _softmax_of(
    piece: Request,
    label: Tensor,
    factor: Tensor | None,
    scratch: Scratch,
    with_terms: bool,
) -> tuple[Tensor, Tensor | None]:
    """As :func:`_sigmoid`; ``factor`` multiplies the probabilities."""
    out = scratch('prob', label.shape)
    if not with_terms:
        return _softmax(piece.logits, piece.dtype, factor, out), None
    power = torch.log_softmax(piece.logits, 1, piece.dtype, out=out)
    # a class of probability 0 may have a logit of minus infinity
    power.clamp_(min=torch.finfo(piece.dtype).min)
    terms = torch.mul(power, label, out=scratch('work', label.shape))
    prob = _exp_(power)
    return (prob if factor is None else prob.mul_(factor)), terms


def _slope_of_overlap(
    prob: Tensor, label: Tensor, norm: float, slope: Tensor, out: Tensor
) -> None:
    """Writes slope d/dp (p^n + y^n - |p - y|^n) / 2 to ``out``."""
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
    """(p^n + y^n - |p - y|^n) / 2, in the form that does not cancel."""
    if norm == 1:
        return torch.minimum(prob, label, out=out)
    if norm == 2:
        return torch.mul(prob, label, out=out)
    gap = torch.sub(prob, label, out=out).abs_().pow_(norm)
    return gap.neg_().add_(prob**norm).add_(label**norm).div_(2)


def _softmax(
    logits: Tensor, dtype: torch.dtype, scale: Tensor | None, out: Tensor
) -> Tensor:
    """Write the softmax, times (B, 1, M) ``scale``, to ``out``."""
    if out.is_cuda:
        torch.softmax(logits, 1, dtype, out=out)
        return out if scale is None else out.mul_(scale)
    total = _centred(logits, out).exp2_().sum(1, keepdim=True)
    share = total.reciprocal_() if scale is None else scale / total
    return out.mul_(share)


def _centred(logits: Tensor, out: Tensor) -> Tensor:
    """Write log2 of exp(logits), with a maximum over classes of 0."""
    if logits.dtype != out.dtype:
        logits = out.copy_(logits)
    torch.sub(logits, logits.amax(1, keepdim=True), out=out)
    return out.mul_(_LOG2_E)


def _exp_(power: Tensor) -> Tensor:
    """exp(power) in place.

    On a CPU torch vectorises powers of 2 itself, whereas those of e come
    from a library that is slow on some processors.
    """
    if power.device.type == 'cpu':
        return power.mul_(_LOG2_E).exp2_()
    return power.exp_()


def _labelled(piece: Request) -> tuple[Tensor, Tensor]:
    """The class of each pixel, and its weight, both (B, 1, M).

    A pixel that does not count has weight 0 and some class. Without pixel
    weights they are bools.
    """
    target = piece.target
    label = target.label.unsqueeze(1)
    index = label.clamp(0, piece.logits.shape[1] - 1)
    counted = index == label
    ignored = target.ignore_index
    if ignored is not None and 0 <= ignored < piece.logits.shape[1]:
        counted &= label != ignored
    if piece.weight is None:
        return index, counted
    return index, counted * piece.weight.unsqueeze(1).to(piece.dtype)


def _weight(piece: Request) -> Tensor | None:
    """(B, 1, M); None means 1."""
    if isinstance(piece.target, HardLabel):
        return _labelled(piece)[1].to(piece.dtype)
    if piece.weight is None:
        return None
    return piece.weight.to(piece.dtype).unsqueeze(1)


def _dense_label(
    piece: Request, factor: Tensor | None, scratch: Scratch
) -> Tensor:
    """(B, C, M) times ``factor``; anything finite where a pixel is ignored."""
    target, shape = piece.target, piece.logits.shape
    if isinstance(target, HardLabel):
        return _dense_hard(piece, factor, scratch('label', shape))
    value = target.value.to(piece.dtype)
    if isinstance(target, TeacherLogits):
        out = scratch('label', shape)
        if target.temperature != 1:
            work = scratch('work', shape)
            value = torch.div(value, target.temperature, out=work)
        if not target.use_sigmoid:
            return _softmax(value, piece.dtype, factor, out)
        value = torch.sigmoid(value, out=out)
    elif factor is None and piece.weight is not None:
        # no power of what may stand at pixels of weight 0 shall overflow
        factor = piece.weight.unsqueeze(1) > 0
    if factor is None:
        return value
    return torch.mul(value, factor, out=scratch('label', shape))


def _dense_hard(piece: Request, factor: Tensor | None, out: Tensor) -> Tensor:
    target = piece.target
    index, _ = _labelled(piece)
    if target.window is not None:
        return _dense_window(target, index, factor, out)
    soft = torch.ones_like(index, dtype=piece.dtype)
    if target.smoothed is not None:
        # torch vectorises the conversion of bytes, not that of bools
        soft = target.smoothed.view(torch.uint8).unsqueeze(1).to(piece.dtype)
    own = 1 - soft * (1 - target.on)
    soft = soft * target.off
    if factor is not None:
        own, soft = own * factor, soft * factor
    return out.copy_(soft).scatter_(1, index, own)


def _dense_window(
    target: HardLabel, index: Tensor, factor: Tensor | None, out: Tensor
) -> Tensor:
    """As :meth:`HardLabel.dense`, where the window votes."""
    total, classes = torch.zeros_like(index, dtype=out.dtype), out.shape[1]
    out.zero_()
    for row in target.window.unbind(1):  # indices take 8 bytes a vote
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


def _sum_by_class(rows: Tensor, index: Tensor, classes: int) -> Tensor:
    """(B, R, M) values summed over the pixels of each class, (B, R, C)."""
    if rows.device.type == 'cpu':
        total = rows.new_zeros(len(rows), rows.shape[1], classes)
        return total.scatter_add_(2, index, rows)
    # without atomic additions, whose order varies from run to run
    every = torch.arange(classes, device=rows.device).unsqueeze(1)
    elsewhere = index[:, :1] != every
    rows = rows.float().split(1, 1)
    return torch.stack(
        [
            row.expand_as(elsewhere).masked_fill(elsewhere, 0).sum(2)
            for row in rows
        ],
        1,
    ).double()


def _weighted_sum(value: Tensor, weight: Tensor | None, out: Tensor) -> Tensor:
    """Sum over pixels, (B, C, M) -> (B, C); ``out`` is room to work in."""
    if weight is not None:
        value = torch.mul(value, weight, out=out)
    return value.sum(2)


def _times_class_weight(piece: Request, value: Tensor) -> Tensor:
    """(B, C) times the weight of each class."""
    if piece.class_weight is None:
        return value
    return value * piece.class_weight.to(value)


def _largest(piece: Request, pixels: _DensePixels) -> Tensor | None:
    """(B, C), the largest p, y or p + y of each class."""
    if piece.largest_of is None:
        return None
    value = {'prediction': pixels.prob, 'label': pixels.label}.get(
        piece.largest_of
    )
    if value is None:
        value = pixels.prob + pixels.label
    if pixels.inverse is not None:
        value = value * pixels.inverse
    if pixels.weight is not None:
        value = value * (pixels.weight > 0)
    return value.amax(2).double()


def _hits(piece: Request, index: Tensor, weight: Tensor) -> Tensor | None:
    """(B,), sum of the weights where the labelled class has the largest."""
    if not piece.with_hits:
        return None
    logits = piece.logits
    hit = logits.gather(1, index) >= logits.amax(1, keepdim=True)
    return (weight * hit).sum((1, 2), dtype=torch.float64)
