"""Accuracy, IoU and Dice from the pixels of each image and class."""

from __future__ import annotations

import torch
from torch import Tensor

from .option_checks import check_percent
from .region_counts import RegionCounts

__all__ = [
    'chance_iou',
    'class_scores',
    'dataset_scores',
    'gain_over_chance',
    'image_scores',
    'mean_iou',
    'worst_mean',
]


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
        >>> from mmseg_jml.functional import region_counts
        >>> label = torch.tensor([[0, 1, 0]])
        >>> counts = region_counts(torch.tensor([[0, 1, 1]]), label, 2)
        >>> dataset_scores(counts)['IoU']
        tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    return {name: value[0] for name, value in _ratios(counts.total()).items()}


def mean_iou(counts: RegionCounts) -> Tensor:
    """Return the mean IoU over the classes that are predicted or labelled.

    It is ``dataset_scores(counts)['IoU'].nanmean()``, and waits for no GPU.

    Args:
        counts (RegionCounts): One row per image.

    Returns:
        Tensor: Scalar in [0, 1]; NaN if there is no pixel.

    Examples:
        >>> from mmseg_jml.functional import region_counts
        >>> label = torch.tensor([[0, 1, 0, 255]])
        >>> mean_iou(region_counts(torch.tensor([[0, 1, 1, 0]]), label, 2))
        tensor(0.5000, dtype=torch.float64)
    """
    return dataset_scores(counts)['IoU'].nanmean()


def chance_iou(counts: RegionCounts) -> Tensor:
    """Return the mean IoU of the same predictions, shuffled over the pixels.

    If a share q of n pixels is predicted as a class and a share f is labelled
    as it, then n q f pixels are expected to be both.

    Args:
        counts (RegionCounts): One row per image.

    Returns:
        Tensor: Scalar in [0, 1]; NaN if there is no pixel.

    Examples:
        >>> half = torch.tensor([[50, 50]])  # q = f = 1/2: 25 / 75
        >>> chance_iou(RegionCounts(half, half, half))
        tensor(0.3333, dtype=torch.float64)
    """
    total = counts.total()
    pixels = total.labelled.sum().clamp_min(1)
    hit = total.predicted * total.labelled / pixels
    return mean_iou(total._replace(hit=hit))


def gain_over_chance(counts: RegionCounts) -> Tensor:
    """Return the share of the way from chance to 1 that predictions cover.

    It is ``(mean_iou(counts) - c) / (1 - c)`` for ``c = chance_iou(counts)``.

    Args:
        counts (RegionCounts): One row per image.

    Returns:
        Tensor: Scalar, 1 for perfect predictions, about 0 for those that do
        not depend on the image, below 0 for worse ones; NaN if there is no
        pixel, or one class alone that is found everywhere.

    Examples:
        >>> half = torch.tensor([[50, 50]])  # chance is 1/3
        >>> hit = torch.tensor([[40, 40]])  # 40 of 60: 2/3
        >>> gain_over_chance(RegionCounts(hit, half, half))
        tensor(0.5000, dtype=torch.float64)
    """
    chance = chance_iou(counts)
    return (mean_iou(counts) - chance) / (1 - chance)


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
        >>> from mmseg_jml.functional import region_counts
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
        >>> from mmseg_jml.functional import region_counts
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

    Raises:
        ValueError: If ``percent`` is out of range.

    Examples:
        >>> worst_mean(torch.tensor([0.5, 0.1, torch.nan, 0.3]), 70)
        tensor(0.2000)
    """
    check_percent(percent=percent)
    if len(value) == 0:
        return value.new_full(value.shape[1:], torch.nan)
    ordered = value.sort(0).values  # NaNs come last
    number = (~value.isnan()).sum(0, keepdim=True)
    chosen = (number * percent / 100).floor().long().clamp(min=1)
    total = ordered.nan_to_num().cumsum(0).gather(0, chosen - 1)
    return (total / chosen).masked_fill(number == 0, torch.nan)[0]
