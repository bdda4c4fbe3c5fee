"""Confident predictions as labels for another view of the image."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    'certain_logits',
    'class_maxima',
    'confident_share',
    'pixel_accuracy',
    'pseudo_label',
    'running_threshold',
]

# exp(-_CERTAIN) is 0 in every precision.
_CERTAIN = 1000.0


def pseudo_label(
    logits: Tensor, use_sigmoid: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the most probable class of each pixel, and its probability.

    It is ``confidence, label = p.max(1)`` for the softmax p of the logits,
    but p is never made.

    Args:
        logits (Tensor): (N, C, *) floats.
        use_sigmoid (bool): Whether each class has a sigmoid of its own; one
            channel stands for the second of two classes. Defaults to False.

    Returns:
        tuple[Tensor, Tensor]: Label (N, *) int64, and confidence (N, *)
        floats in [1 / C, 1], with sigmoids in (0, 1).

    Examples:
        >>> label, confidence = pseudo_label(torch.tensor([[[0.0], [2.0]]]))
        >>> label, confidence
        (tensor([[1]]), tensor([[0.8808]]))
    """
    if logits.shape[1] == 1:
        odds = logits[:, 0]
        return (odds > 0).long(), odds.abs().sigmoid()
    highest, label = logits.max(1)
    if use_sigmoid:
        return label, highest.sigmoid()
    return label, (highest - torch.logsumexp(logits, 1)).exp()


def confident_share(confident: Tensor, valid: Tensor) -> Tensor:
    """Return the share of the valid pixels that are confident.

    Args:
        confident (Tensor): (N, *) bool, some of the valid pixels.
        valid (Tensor): (N, *) bool.

    Returns:
        Tensor: Scalar in [0, 1]. 0 if no pixel is valid.

    Examples:
        >>> valid = torch.tensor([[True, True, True, True, False]])
        >>> confident = torch.tensor([[True, False, False, False, False]])
        >>> confident_share(confident, valid)
        tensor(0.2500)
    """
    return confident.sum() / valid.sum().clamp_min(1)


def pixel_accuracy(
    prediction: Tensor, label: Tensor, counted: Tensor
) -> Tensor:
    """Return the share of the counted pixels that are right.

    Args:
        prediction (Tensor): (N, *) integers.
        label (Tensor): (N, *) integers.
        counted (Tensor): (N, *) bool, the pixels that count.

    Returns:
        Tensor: Scalar in [0, 1]. NaN if no pixel counts.

    Examples:
        >>> prediction, label = torch.tensor([[0, 1, 1], [0, 1, 2]])
        >>> pixel_accuracy(prediction, label, label < 2)
        tensor(1.)
    """
    return ((prediction == label) & counted).sum() / counted.sum()


def certain_logits(
    label: Tensor, channels: int, use_sigmoid: bool = False
) -> Tensor:
    """Return logits whose probabilities are exactly those of a hard label.

    ``certain_logits(label, C).softmax(1)`` is ``one_hot(label, C)``.

    Args:
        label (Tensor): (N, H, W) integers. A pixel with a label outside
            [0, C) gets the same logit for all classes.
        channels (int): C; one channel stands for the second of two classes.
        use_sigmoid (bool): Whether each class has a sigmoid of its own.
            Defaults to False.

    Returns:
        Tensor: (N, C, H, W) float32.

    Examples:
        >>> certain_logits(torch.tensor([[[0, 2]]]), 3).softmax(1)[0, :, 0]
        tensor([[1., 0.],
                [0., 0.],
                [0., 1.]])
    """
    classes = torch.arange(channels, device=label.device) + (channels == 1)
    hit = label.unsqueeze(1) == classes.view(-1, 1, 1)
    low = -1.0 if use_sigmoid or channels == 1 else 0.0
    return torch.where(hit, _CERTAIN, low * _CERTAIN).float()


def class_maxima(
    confidence: Tensor, label: Tensor, counted: Tensor, num_classes: int
) -> Tensor:
    """Return the greatest confidence with which each class is predicted.

    Args:
        confidence (Tensor): (N, *) floats in [0, 1].
        label (Tensor): (N, *) integers in [0, C), the predicted classes.
        counted (Tensor): (N, *) bool, the pixels that count.
        num_classes (int): C.

    Returns:
        Tensor: (C,) floats, 0 for a class that is not predicted.

    Examples:
        >>> confidence = torch.tensor([[0.7, 0.9, 0.8]])
        >>> label = torch.tensor([[0, 0, 2]])
        >>> class_maxima(confidence, label, label >= 0, 3)
        tensor([0.9000, 0.0000, 0.8000])
    """
    values = torch.where(counted, confidence, torch.zeros_like(confidence))
    highest = confidence.new_zeros(num_classes)
    return highest.scatter_reduce_(
        0, label.flatten(), values.flatten(), 'amax'
    )


def running_threshold(
    threshold: Tensor, maxima: Tensor, momentum: float
) -> Tensor:
    """Move a threshold towards the confidence that classes reach.

    With m the momentum and q the mean of the maxima above 0 this is
    ``m * threshold + (1 - m) * q``: "CorrMatch: Label Propagation via
    Correlation Matching for Semi-Supervised Semantic Segmentation" (arXiv
    2306.04300).

    Args:
        threshold (Tensor): Scalar in [0, 1].
        maxima (Tensor): (C,) what :func:`class_maxima` gives.
        momentum (float): Share of the old threshold in the new, in [0, 1].

    Returns:
        Tensor: Scalar, the threshold itself where all maxima are 0.

    Examples:
        >>> maxima = torch.tensor([0.9, 0.0, 0.8])
        >>> running_threshold(torch.tensor(0.5), maxima, momentum=0.9)
        tensor(0.5350)
    """
    mean = maxima.sum() / (maxima > 0).sum()
    moved = momentum * threshold + (1 - momentum) * mean
    return torch.where(mean.isnan(), threshold, moved)
