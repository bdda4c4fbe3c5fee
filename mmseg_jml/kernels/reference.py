"""Region sums as the formulas stand on paper, the oracle of the others."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .targets import HardLabel, Target

__all__ = ['cross_entropy', 'pixel_weight', 'region_sums', 'working_dtype']


def region_sums(
    logits: Tensor,
    target: Target,
    weight: Tensor | None,
    *,
    norm: float,
    use_sigmoid: bool,
    class_weight: Tensor | None,
    with_product: bool,
    with_cross_entropy: bool,
) -> tuple:
    """Dense implementation of :func:`mmseg_jml.kernels.region_sums`."""
    logits = logits.to(working_dtype(logits))
    label = target.dense(logits.shape[1], logits.dtype)
    weight = pixel_weight(logits, target, weight).unsqueeze(1)
    prob = logits.sigmoid() if use_sigmoid else logits.softmax(1)
    prediction = _sum(weight * prob**norm)
    label_sum = _sum(weight * label**norm)
    product = _sum(weight * prob * label) if with_product else None
    overlap = weight * _overlap(prob, label, norm, target)
    classes = (
        prob.new_ones(prob.shape[1])
        if class_weight is None
        else class_weight.to(prob)
    )
    scale = weight * classes.view(-1, *[1] * (prob.ndim - 2))
    mass = _sum(
        scale * torch.ones_like(label) if use_sigmoid else scale * label
    ).sum(1)
    entropy = None
    if with_cross_entropy:
        entropy = _sum(scale * cross_entropy(logits, label, use_sigmoid))
        entropy = entropy.sum(1)
    return prediction, label_sum, _sum(overlap), product, entropy, mass


def working_dtype(logits: Tensor) -> torch.dtype:
    """float64 for float64 logits, else float32."""
    return torch.promote_types(logits.dtype, torch.float32)


def pixel_weight(
    logits: Tensor, target: Target, weight: Tensor | None
) -> Tensor:
    """(N, *) weights with 0 on ignored pixels, in the working dtype."""
    shape = logits.shape[:1] + logits.shape[2:]
    dtype = working_dtype(logits)
    value = (
        logits.new_ones(shape, dtype=dtype)
        if weight is None
        else weight.to(dtype)
    )
    if isinstance(target, HardLabel):
        value = value * target.counted()
    return value


def cross_entropy(logits: Tensor, label: Tensor, use_sigmoid: bool) -> Tensor:
    """(N, C, *) terms of the cross-entropy, summed over classes by users."""
    if use_sigmoid:
        return F.binary_cross_entropy_with_logits(
            logits, label, reduction='none'
        )
    return -label * logits.log_softmax(1)


def _overlap(
    prob: Tensor, label: Tensor, norm: float, target: Target
) -> Tensor:
    """(p^n + y^n - |p - y|^n) / 2, in the form that does not cancel."""
    hard = isinstance(target, HardLabel) and not target.is_smoothed
    if norm == 2 or (norm == 1 and hard):
        return prob * label
    if norm == 1:
        return torch.minimum(prob, label)
    return (prob**norm + label**norm - (prob - label).abs() ** norm) / 2


def _sum(value: Tensor) -> Tensor:
    """Sum over pixels, (N, C, *) -> (N, C), accumulated in float64."""
    return value.unsqueeze(-1).flatten(2).sum(2, dtype=torch.float64)
