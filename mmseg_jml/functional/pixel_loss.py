"""The loss of each pixel by itself, by which samplers rank pixels."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmseg_jml.kernels import (
    Target,
    class_weight,
    cross_entropy,
    pixel_weight,
    upsampled,
)

from .inputs import make_request

__all__ = ['pixel_loss']


def pixel_loss(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None = None,
    *,
    ce_weight: float = 0.0,
    jml_weight: float = 1.0,
    **arguments: Any,
) -> Tensor:
    """Compute a loss of each pixel by itself, to rank pixels by difficulty.

    The Jaccard index of many pixels is not a mean of terms, one for each
    pixel. So this is the Jaccard metric loss of one pixel, with classes in
    the place of pixels: ``1 - (1 - d) / (1 + d)``, where d is the sum over c
    of abs(p_c - y_c) / 2, or with sigmoid the mean of abs(p_c - y_c). For a
    hard label d is 1 - p_y, so that pixels rank as by their cross-entropy.

    Args:
        logits (Tensor): As for :func:`loss_parts`.
        target (Tensor | Target): As for :func:`loss_parts`.
        weight (Tensor, optional): (N, *) >= 0, multiplies the result.
            Defaults to None.
        ce_weight (float): Factor of the cross-entropy. Defaults to 0.0.
        jml_weight (float): Factor of the pixel's Jaccard metric loss.
            Defaults to 1.0.
        **arguments: ``ignore_index``, ``use_sigmoid``, ``class_weight`` (here
            the weight of the label's class multiplies the result),
            ``label_smoothing``, ``align_corners`` and ``check`` of
            :func:`loss_parts`.

    Returns:
        Tensor: (N, *), 0 on ignored pixels.

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[[0.0, 0.0], [0.0, 2.0]]])
        >>> pixel_loss(logits, torch.tensor([[0, 1]]))
        tensor([[0.6667, 0.2130]])
    """
    request = upsampled(make_request(logits, target, weight, **arguments))
    logits, use_sigmoid = request.logits, request.use_sigmoid
    label = request.target.dense(logits.shape[1], logits.dtype)
    prob = logits.sigmoid() if use_sigmoid else logits.softmax(1)
    error = (prob - label).abs()
    distance = error.mean(1) if use_sigmoid else error.sum(1) / 2
    value = jml_weight * 2 * distance / (1 + distance)
    classes = class_weight(request)
    if request.class_weight is not None:
        value = value * (classes * label).sum(1)
    if ce_weight != 0:
        entropy = classes * cross_entropy(logits, label, use_sigmoid)
        value = value + ce_weight * entropy.sum(1)
    return value * pixel_weight(request)
