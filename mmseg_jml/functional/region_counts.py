"""Pixels of each image and class, and the accuracy, IoU and Dice they give."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .pixel_chunks import check_range

__all__ = [
    'RegionCounts',
    'class_scores',
    'dataset_scores',
    'image_scores',
    'region_counts',
    'worst_mean',
]


class RegionCounts(NamedTuple):
    """Numbers of pixels of each image (or sum of images) and class.

    Attributes:
        hit (Tensor): (N, C) int64, pixels both predicted and labelled as the
            class.
        predicted (Tensor): (N, C) int64, pixels predicted as the class.
        labelled (Tensor): (N, C) int64, pixels labelled as the class.
    """

    hit: Tensor
    predicted: Tensor
    labelled: Tensor


def region_counts(
    prediction: Tensor,
    label: Tensor,
    num_classes: int,
    ignore_index: int | None = 255,
) -> RegionCounts:
    """Count the pixels of each image and class.

    Args:
        prediction (Tensor): (N, *) integers in [0, C).
        label (Tensor): (N, *) integers in [0, C), or ``ignore_index``.
        num_classes (int): C.
        ignore_index (int, optional): Label of pixels that do not count.
            Defaults to 255.

    Returns:
        RegionCounts: One row per image.

    Raises:
        ValueError: If the shapes differ or a counted value is outside
            [0, C).

    Examples:
        >>> counts = region_counts(
        ...     torch.tensor([[0, 1, 1, 0]]), torch.tensor([[0, 1, 0, 255]]), 2
        ... )
        >>> counts.hit, counts.predicted, counts.labelled
        (tensor([[1, 1]]), tensor([[1, 2]]), tensor([[2, 1]]))
    """
    if prediction.shape != label.shape:
        raise ValueError(
            'Expected prediction and label of the same shape, but got '
            f'{tuple(prediction.shape)} and {tuple(label.shape)}'
        )
    prediction, label = (x.flatten(1).long() for x in (prediction, label))
    counted = torch.ones_like(label, dtype=torch.bool)
    if ignore_index is not None:
        counted = label != ignore_index
    check_range('prediction', prediction, counted, num_classes)
    check_range('label', label, counted, num_classes)

    def count(value: Tensor, mask: Tensor) -> Tensor:
        # pixels outside the mask go to one more class, cut off below
        index = torch.where(mask, value, num_classes)
        total = index.new_zeros(len(index), num_classes + 1)
        total.scatter_add_(1, index, torch.ones_like(index))
        return total[:, :-1]

    return RegionCounts(
        count(label, counted & (prediction == label)),
        count(prediction, counted),
        count(label, counted),
    )


def _ratios(counts: RegionCounts) -> dict[str, Tensor]:
    """Compute the scores, in [0, 1]; NaN for 0 / 0."""
    hit, predicted, labelled = (value.double() for value in counts)
    return {
        'Acc': hit / labelled,
        'IoU': hit / (predicted + labelled - hit),
        'Dice': 2 * hit / (predicted + labelled),
    }


def _active(counts: RegionCounts, binary: bool) -> Tensor:
    """Find the classes whose score in an image counts, (N, C)."""
    both = counts.predicted + counts.labelled
    return (both if binary else counts.labelled) > 0


def dataset_scores(counts: RegionCounts) -> dict[str, Tensor]:
    """Score each class over the pixels of all images.

    Args:
        counts (RegionCounts): One row per image.

    Returns:
        dict[str, Tensor]: 'Acc', 'IoU' and 'Dice', (C,) float64 in [0, 1];
        NaN for a class that is neither predicted nor labelled (for 'Acc',
        that is not labelled).

    Examples:
        >>> label = torch.tensor([[0, 1, 0]])
        >>> counts = region_counts(torch.tensor([[0, 1, 1]]), label, 2)
        >>> dataset_scores(counts)['IoU']
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    return _ratios(RegionCounts(*(value.sum(0) for value in counts)))


def image_scores(
    counts: RegionCounts, binary: bool = False
) -> dict[str, Tensor]:
    """Score each image: the mean over the classes it is labelled with.

    Args:
        counts (RegionCounts): One row per image.
        binary (bool): Whether the score is that of class 1 alone; 1 where
            class 1 is neither labelled nor predicted. Defaults to False.

    Returns:
        dict[str, Tensor]: 'Acc', 'IoU' and 'Dice', (N,) float64 in [0, 1];
        NaN for an image without a counted pixel, and for the accuracy of a
        binary image where class 1 is predicted but not labelled.

    Examples:
        >>> label = torch.tensor([[0, 1, 0]])
        >>> counts = region_counts(torch.tensor([[0, 1, 1]]), label, 2)
        >>> image_scores(counts)['IoU']
        tensor([0.5000], dtype=torch.float64)
    """
    active = _active(counts, binary)
    empty = counts.labelled.sum(1) == 0
    scores = {}
    for name, value in _ratios(counts).items():
        if binary:
            value = value[:, 1].masked_fill(~active[:, 1], 1.0)
        else:
            value = value.masked_fill(~active, torch.nan).nanmean(1)
        scores[name] = value.masked_fill(empty, torch.nan)
    return scores


def class_scores(
    counts: RegionCounts, binary: bool = False, percent: float = 100
) -> dict[str, Tensor]:
    """Score each class: the mean over the images labelled with it.

    Args:
        counts (RegionCounts): One row per image.
        binary (bool): Whether images where the class is predicted count too.
            Defaults to False.
        percent (float): Share of each class's images to average, the worst
            ones, in (0, 100]. Defaults to 100.

    Returns:
        dict[str, Tensor]: 'Acc', 'IoU' and 'Dice', (C,) float64 in [0, 1];
        NaN for a class without an image.

    Examples:
        >>> label = torch.tensor([[0, 1, 0]])
        >>> counts = region_counts(torch.tensor([[0, 1, 1]]), label, 2)
        >>> class_scores(counts)['Acc']
        tensor([0.5000, 1.0000], dtype=torch.float64)
    """
    active = _active(counts, binary)
    return {
        name: worst_mean(value.masked_fill(~active, torch.nan), percent)
        for name, value in _ratios(counts).items()
    }


def worst_mean(value: Tensor, percent: float = 100) -> Tensor:
    """Average the lowest ``percent`` % along dimension 0, without NaNs.

    Of n numbers the lowest ``max(1, floor(percent * n / 100))`` count.

    Args:
        value (Tensor): (n, *) floats, NaN where there is nothing to count.
        percent (float): In (0, 100]. Defaults to 100.

    Returns:
        Tensor: (*); NaN where there is no number.

    Examples:
        >>> worst_mean(torch.tensor([0.5, 0.1, torch.nan, 0.3]), 70)
        tensor(0.2000)
    """
    if len(value) == 0:
        return value.new_full(value.shape[1:], torch.nan)
    ordered = value.sort(0).values  # NaNs come last
    number = (~value.isnan()).sum(0, keepdim=True)
    chosen = (number * percent / 100).floor().long().clamp(min=1)
    total = ordered.nan_to_num().cumsum(0).gather(0, chosen - 1)
    return (total / chosen).masked_fill(number == 0, torch.nan)[0]
