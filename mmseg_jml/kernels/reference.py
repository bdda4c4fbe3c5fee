"""Region sums by the formulas as on paper: the oracle of the other engines."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .request import Request
from .results import RegionSums
from .targets import HardLabel

__all__ = [
    'class_weight',
    'cross_entropy',
    'pixel_weight',
    'region_sums',
    'upsampled',
]


def region_sums(request: Request) -> RegionSums:
    """Dense implementation of :func:`mmseg_jml.kernels.region_sums`."""
    request = upsampled(request)
    logits, norm = request.logits, request.norm
    label = request.target.dense(logits.shape[1], logits.dtype)
    weight = pixel_weight(request).unsqueeze(1)
    prob = logits.sigmoid() if request.use_sigmoid else logits.softmax(1)
    rows = [
        weight * prob**norm,
        weight * label**norm,
        weight * _overlap(prob, label, request),
    ]
    if request.with_product:
        rows.append(weight * prob * label)
    scale = weight * class_weight(request)
    mass = scale * (torch.ones_like(label) if request.use_sigmoid else label)
    likelihood = torch.zeros_like(mass)
    if request.with_cross_entropy:
        likelihood = -scale * cross_entropy(logits, label, request.use_sigmoid)
    return RegionSums(
        torch.stack([_sum(row) for row in rows], 1),
        torch.stack([_sum(likelihood).sum(1), _sum(mass).sum(1)], 1),
        _largest(request, prob, label, weight),
        _hits(request, weight),
    )


def upsampled(request: Request) -> Request:
    """Return the request in its working dtype, with logits of full size.

    Examples:
        >>> label = HardLabel(torch.zeros(1, 4, 6, dtype=torch.long))
        >>> upsampled(Request(torch.zeros(1, 2, 2, 3), label)).logits.shape
        torch.Size([1, 2, 4, 6])
    """
    logits, target = request.logits.to(request.dtype), request.target
    if request.is_upsampled:
        logits = _resize(logits, request.size, request.align_corners)
        if not isinstance(target, HardLabel):
            value = target.value.to(request.dtype)
            aligned = getattr(target, 'align_corners', False)
            value = _resize(value, request.size, aligned)
            target = replace(target, value=value)
    return replace(request, logits=logits, target=target)


def pixel_weight(request: Request) -> Tensor:
    """Return (N, *) weights, 0 on ignored pixels, in the working dtype.

    Examples:
        >>> label = HardLabel(torch.tensor([[0, 255]]))
        >>> pixel_weight(Request(torch.zeros(1, 2, 2), label))
        tensor([[1., 0.]])
    """
    shape = request.logits.shape[:1] + request.size
    weight = request.weight
    if weight is None:
        weight = request.logits.new_ones(shape, dtype=request.dtype)
    weight = weight.to(request.dtype)
    if isinstance(request.target, HardLabel):
        # a label that is no class counts for nothing
        classes = max(request.logits.shape[1], 2)
        weight = weight * request.target.counted(classes)
    return weight


def cross_entropy(logits: Tensor, label: Tensor, use_sigmoid: bool) -> Tensor:
    """Return the cross-entropy (N, C, *) before the sum over classes.

    Args:
        logits (Tensor): (N, C, *) floats.
        label (Tensor): (N, C, *) floats in [0, 1], of the logits' dtype.
        use_sigmoid (bool): Whether each class is a yes or no of its own.

    Returns:
        Tensor: (N, C, *) >= 0, of the logits' dtype.

    Examples:
        >>> label = torch.tensor([[[0.75], [0.25]]])
        >>> cross_entropy(torch.zeros(1, 2, 1), label, use_sigmoid=False)
        tensor([[[0.5199],
                 [0.1733]]])
    """
    if use_sigmoid:
        return F.binary_cross_entropy_with_logits(
            logits, label, reduction='none'
        )
    # a class of probability 0 may have a logit of minus infinity
    return -label * logits.log_softmax(1).masked_fill(label == 0, 0)


def _resize(value: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
    if value.shape[2:] == size:
        return value
    return F.interpolate(
        value, size=size, mode='bilinear', align_corners=align_corners
    )


def class_weight(request: Request) -> Tensor:
    """Return the class weights (C, 1, ...), ones if there are none.

    Examples:
        >>> label = HardLabel(torch.tensor([[0, 255]]))
        >>> class_weight(Request(torch.zeros(1, 2, 2), label))
        tensor([[1.],
                [1.]])
    """
    logits, weight = request.logits, request.class_weight
    if weight is None:
        weight = logits.new_ones(logits.shape[1])
    return weight.to(logits).view(-1, *[1] * (logits.ndim - 2))


def _overlap(prob: Tensor, label: Tensor, request: Request) -> Tensor:
    """Compute (p^n + y^n - |p - y|^n) / 2 without cancellation."""
    norm = request.norm
    if norm == 2 or (norm == 1 and request.is_hard):
        return prob * label
    if norm == 1:
        return torch.minimum(prob, label)
    return (prob**norm + label**norm - (prob - label).abs() ** norm) / 2


def _sum(value: Tensor) -> Tensor:
    """Sum over pixels, (N, C, *) -> (N, C), accumulated in float64."""
    return value.unsqueeze(-1).flatten(2).sum(2, dtype=torch.float64)


@torch.no_grad()
def _largest(
    request: Request, prob: Tensor, label: Tensor, weight: Tensor
) -> Tensor | None:
    if request.largest_of is None:
        return None
    value = {
        'prediction': lambda: prob,
        'label': lambda: label,
        'both': lambda: prob + label,
    }[request.largest_of]()
    if not value.numel():
        return value.new_zeros(value.shape[:2], dtype=torch.float64)
    value = value.masked_fill(weight <= 0, 0).unsqueeze(-1).flatten(2)
    return value.amax(2).double()


@torch.no_grad()
def _hits(request: Request, weight: Tensor) -> Tensor | None:
    logits, target = request.logits, request.target
    if not request.with_hits or not isinstance(target, HardLabel):
        return None
    label, classes = target.label.unsqueeze(1), logits.shape[1]
    own = logits.gather(1, label.clamp(0, classes - 1))
    return _sum(weight * (own >= logits.amax(1, keepdim=True))).sum(1)
