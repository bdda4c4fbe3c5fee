"""What a segmentor is sure of, as a label for another view of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from .class_counts import class_counts

__all__ = ['mean_iou', 'pseudo_label']


def pseudo_label(
    logits: Tensor, use_sigmoid: bool = False
) -> tuple[Tensor, Tensor]:
    """The most probable class of each pixel, and its probability.

    With p the softmax of the logits, ``confidence, label = p.max(1)``; p
    itself is not made.

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


def mean_iou(
    prediction: Tensor, label: Tensor, counted: Tensor, num_classes: int
) -> Tensor:
    """Intersection over union of a batch, without a wait for a GPU.

    It is what :func:`~mmseg_jml.functional.region_counts` gives for all
    pixels at once. Nothing is checked, because reading a value would let the
    host wait.

    Args:
        prediction (Tensor): (N, *) integers in [0, C).
        label (Tensor): (N, *) integers. A pixel with a label outside [0, C)
            does not count.
        counted (Tensor): (N, *) bool, the other pixels that count.
        num_classes (int): C.

    Returns:
        Tensor: Scalar in [0, 1], the mean over the classes that were
        predicted or labelled. NaN if no pixel counts.

    Examples:
        >>> prediction = torch.tensor([[0, 1, 1, 0]])
        >>> label = torch.tensor([[0, 1, 0, 255]])
        >>> mean_iou(prediction, label, torch.ones_like(label).bool(), 2)
        tensor(0.5000)
    """
    return class_counts(prediction, label, counted, num_classes).mean_iou()
