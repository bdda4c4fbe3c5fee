"""Accuracy, IoU and Dice of a data set, of its images and of its classes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .region_counts import RegionCounts

__all__ = [
    'class_scores',
    'dataset_scores',
    'fine_grained_iou',
    'image_scores',
    'worst_mean',
]

_NAMES = ('Acc', 'IoU', 'Dice')
_TENTHS = [10.0 * i for i in range(1, 11)]


def _ratios(counts: RegionCounts) -> dict[str, Tensor]:
    """In [0, 1], NaN for 0 / 0."""
    hit, predicted, labelled = (value.double() for value in counts)
    return {
        'Acc': hit / labelled,
        'IoU': hit / (predicted + labelled - hit),
        'Dice': 2 * hit / (predicted + labelled),
    }


def _active(counts: RegionCounts, binary: bool) -> Tensor:
    """The classes whose score in an image counts, (N, C)."""
    both = counts.predicted + counts.labelled
    return (both if binary else counts.labelled) > 0


def dataset_scores(counts: RegionCounts) -> dict[str, Tensor]:
    """Score each class over the pixels of all images.

    Args:
        counts (RegionCounts): One row per image.

    Returns:
        dict[str, Tensor]: 'Acc', 'IoU' and 'Dice', (C,) float64 in [0, 1];
        NaN for a class that no pixel has (Acc: that no pixel is labelled).

    Examples:
        >>> numbers = [[[1, 1]], [[1, 2]], [[2, 1]]]
        >>> counts = RegionCounts(*torch.tensor(numbers))
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
        >>> numbers = [[[1, 1]], [[1, 2]], [[2, 1]]]
        >>> counts = RegionCounts(*torch.tensor(numbers))
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
        binary (bool): Whether images that are predicted to hold the class
            count too. Defaults to False.
        percent (float): Share of each class's images, the worst ones, in
            (0, 100]. Defaults to 100.

    Returns:
        dict[str, Tensor]: 'Acc', 'IoU' and 'Dice', (C,) float64 in [0, 1];
        NaN for a class without an image.

    Examples:
        >>> numbers = [[[1, 1]], [[1, 2]], [[2, 1]]]
        >>> counts = RegionCounts(*torch.tensor(numbers))
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


def fine_grained_iou(
    counts: RegionCounts, worst: float = 5, binary: bool = False
) -> dict[str, float]:
    """Mean accuracy, IoU and Dice at the levels D, I and C, in percent.

    "Revisiting Evaluation Metrics for Semantic Segmentation: Optimization
    and Evaluation of Fine-grained Intersection over Union" (arXiv
    2310.19252). D takes the pixels of the data set together, I averages over
    images the mean over the classes of an image, C averages over classes the
    mean over the images of a class. A suffix tells a worst case: a number q,
    the mean of the worst q % of images (C: of each class's images); ``Q``,
    the average of that over q = 10, 20, ... 100.

    A class that is absent everywhere is left out of a mean, as is an image
    without a counted pixel. At level D a class that is predicted somewhere
    and labelled nowhere has an IoU of 0, which counts: ``mIoUD`` is mmseg's
    mIoU.

    Args:
        counts (RegionCounts): One row per image.
        worst (float): q, in percent, in (0, 100]. Defaults to 5.
        binary (bool): Whether class 1 is the foreground, whose score alone
            counts at D and I. An image where it is neither labelled nor
            predicted scores 100 at I; level C averages both classes, each
            over the images where it is labelled or predicted. Defaults to
            False.

    Returns:
        dict[str, float]: ``Acc``; ``mAcc``, ``mIoU``, ``mDice`` with ``D``,
        ``I``, ``C``, and for I and C with ``Q`` and q: for instance
        ``mIoUI``, ``mIoUIQ``, ``mIoUI5``. NaN where nothing counts.

    Raises:
        ValueError: If ``worst`` is out of range, or ``binary`` is asked for
            other than two classes.

    Examples:
        >>> from mmseg_jml.functional import region_counts
        >>> prediction = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]])
        >>> label = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 1]])
        >>> figures = fine_grained_iou(region_counts(prediction, label, 2))
        >>> round(figures['mIoUD'], 2), round(figures['mIoUI'], 2)
        (52.38, 47.92)
    """
    if not 0 < worst <= 100:
        raise ValueError(f'Expected worst in (0, 100] %, but got {worst}')
    if binary and counts.hit.shape[1] != 2:
        raise ValueError(
            'Expected two classes, background and foreground, with '
            f'binary=True, but got {counts.hit.shape[1]}'
        )
    whole = _stacked(dataset_scores(counts))
    images = _stacked(image_scores(counts, binary))

    def level_i(percents: Iterable[float]) -> Tensor:
        return torch.stack([worst_mean(images, q) for q in percents]).mean(0)

    def level_c(percents: Iterable[float]) -> Tensor:
        scores = [_stacked(class_scores(counts, binary, q)) for q in percents]
        return torch.stack(scores).nanmean(1).mean(0)

    levels = {'D': whole[1] if binary else whole.nanmean(0)}
    worst_cases = {'': [100.0], f'{worst:g}': [worst], 'Q': _TENTHS}
    for suffix, percents in worst_cases.items():
        levels[f'I{suffix}'] = level_i(percents)
        levels[f'C{suffix}'] = level_c(percents)
    kept = slice(1, None) if binary else slice(None)
    hit, _, labelled = (value.sum(0)[kept].sum() for value in counts)
    figures = {'Acc': 100 * float(hit.double() / labelled)}
    for level, values in levels.items():
        for name, value in zip(_NAMES, values.tolist()):
            figures[f'm{name}{level}'] = 100 * value
    return figures


def _stacked(scores: dict[str, Tensor]) -> Tensor:
    """(*, 3), one column for each of the three scores."""
    return torch.stack(list(scores.values()), -1)
