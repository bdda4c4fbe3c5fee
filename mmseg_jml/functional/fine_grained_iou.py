"""Accuracy, IoU and Dice of a data set, of its images and of its classes."""

from __future__ import annotations

from typing import Dict, NamedTuple

import torch
from torch import Tensor

__all__ = [
    'RegionCounts',
    'class_scores',
    'dataset_scores',
    'fine_grained_iou',
    'image_scores',
    'region_counts',
    'worst_mean',
]

Scores = Dict[str, Tensor]


class RegionCounts(NamedTuple):
    """Counted pixels of each image (or sum of images) and class.

    Attributes:
        hit (Tensor): (N, C) int64, pixels predicted and labelled so.
        predicted (Tensor): (N, C) int64, pixels predicted so.
        labelled (Tensor): (N, C) int64, pixels labelled so.
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
    """Counts the pixels that accuracy, IoU and Dice are made of.

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
    images = len(label)
    prediction = prediction.flatten(1).long()
    label = label.flatten(1).long()
    counted = torch.ones_like(label, dtype=torch.bool)
    if ignore_index is not None:
        counted = label != ignore_index
    for name, value in (('prediction', prediction), ('label', label)):
        check_range(name, value, counted, num_classes)
    offset = (num_classes + 1) * torch.arange(images, device=label.device)

    def count(value: Tensor, mask: Tensor) -> Tensor:
        # what is not in the mask goes to one more class, cut off at the end
        index = torch.where(mask, value, num_classes) + offset[:, None]
        total = torch.bincount(
            index.flatten(), minlength=images * (num_classes + 1)
        )
        return total.view(images, num_classes + 1)[:, :-1]

    return RegionCounts(
        count(label, counted & (prediction == label)),
        count(prediction, counted),
        count(label, counted),
    )


def check_range(
    name: str, value: Tensor, counted: Tensor, num_classes: int
) -> None:
    """Refuses classes that there are not.

    Args:
        name (str): What to call them.
        value (Tensor): (*) integers.
        counted (Tensor): (*) bool, where they count.
        num_classes (int): C.

    Raises:
        ValueError: If one that counts is outside [0, C).
    """
    wrong = value[counted & ((value < 0) | (value >= num_classes))]
    if wrong.numel():
        raise ValueError(
            f'Expected {name} in [0, {num_classes}) where it counts, but got '
            f'{wrong.unique()[:5].tolist()}'
        )


def _ratios(counts: RegionCounts) -> Scores:
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


def dataset_scores(counts: RegionCounts) -> Scores:
    """Scores of each class over the pixels of all images.

    Args:
        counts (RegionCounts): One row per image.

    Returns:
        dict[str, Tensor]: 'Acc', 'IoU' and 'Dice', (C,) float64 in [0, 1];
        NaN for a class that no pixel has (Acc: that no pixel is labelled).

    Examples:
        >>> counts = region_counts(
        ...     torch.tensor([[0, 1, 1]]), torch.tensor([[0, 1, 0]]), 3
        ... )
        >>> dataset_scores(counts)['IoU']
        tensor([0.5000, 0.5000,    nan], dtype=torch.float64)
    """
    return _ratios(RegionCounts(*(value.sum(0) for value in counts)))


def image_scores(counts: RegionCounts, binary: bool = False) -> Scores:
    """Scores of each image, averaged over the classes it is labelled with.

    Args:
        counts (RegionCounts): One row per image.
        binary (bool): Whether the score is that of class 1 alone; 1 where
            class 1 is neither labelled nor predicted. Defaults to False.

    Returns:
        dict[str, Tensor]: 'Acc', 'IoU' and 'Dice', (N,) float64 in [0, 1];
        NaN for an image without a counted pixel, and for the accuracy of a
        binary image where class 1 is predicted but not labelled.

    Examples:
        >>> counts = region_counts(
        ...     torch.tensor([[0, 1, 1]]), torch.tensor([[0, 1, 0]]), 3
        ... )
        >>> image_scores(counts)['IoU']
        tensor([0.5000], dtype=torch.float64)
    """
    active = _active(counts, binary)
    scores = _ratios(counts)
    for name, value in scores.items():
        if binary:
            value = value[:, 1].masked_fill(~active[:, 1], 1.0)
        else:
            value = value.masked_fill(~active, torch.nan).nanmean(1)
        empty = counts.labelled.sum(1) == 0
        scores[name] = value.masked_fill(empty, torch.nan)
    return scores


def class_scores(
    counts: RegionCounts, binary: bool = False, percent: float = 100
) -> Scores:
    """Scores of each class, averaged over the images labelled with it.

    Args:
        counts (RegionCounts): One row per image.
        binary (bool): Whether images that are predicted to hold the class
            count too. Defaults to False.
        percent (float): Share of each class's images, the worst ones, in
            (0, 100]. Defaults to 100.

    Returns:
        dict[str, Tensor]: 'Acc', 'IoU' and 'Dice', (C,) float64 in [0, 1];
        NaN for a class without an image.
    """
    active = _active(counts, binary)
    return {
        name: worst_mean(value.masked_fill(~active, torch.nan), percent)
        for name, value in _ratios(counts).items()
    }


def worst_mean(value: Tensor, percent: float = 100) -> Tensor:
    """Mean of the lowest ``percent`` % along dimension 0, without NaNs.

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
        >>> prediction = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]])
        >>> label = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 1]])
        >>> figures = fine_grained_iou(region_counts(prediction, label, 2))
        >>> round(figures['mIoUD'], 2), round(figures['mIoUI'], 2)
        (52.38, 47.92)
    """
    _check_options(counts, worst, binary)
    levels = {'D': _dataset_means(counts, binary)}
    for suffix, percents in {
        '': [100],
        f'{worst:g}': [worst],
        'Q': range(10, 110, 10),
    }.items():
        images = [_image_means(counts, binary, q) for q in percents]
        classes = [_class_means(counts, binary, q) for q in percents]
        levels[f'I{suffix}'] = torch.stack(images).mean(0)
        levels[f'C{suffix}'] = torch.stack(classes).mean(0)
    kept = slice(1, None) if binary else slice(None)
    hit, _, labelled = (value.sum(0)[kept].sum() for value in counts)
    figures = {'Acc': 100 * float(hit.double() / labelled)}
    for level, values in levels.items():
        for name, value in zip(('mAcc', 'mIoU', 'mDice'), values.tolist()):
            figures[f'{name}{level}'] = 100 * value
    return figures


def _check_options(counts: RegionCounts, worst: float, binary: bool) -> None:
    if not 0 < worst <= 100:
        raise ValueError(f'Expected worst in (0, 100] %, but got {worst}')
    if binary and counts.hit.shape[1] != 2:
        raise ValueError(
            'Expected two classes, background and foreground, with '
            f'binary=True, but got {counts.hit.shape[1]}'
        )


def _dataset_means(counts: RegionCounts, binary: bool) -> Tensor:
    values = torch.stack(list(dataset_scores(counts).values()))
    return values[:, 1] if binary else values.nanmean(1)


def _image_means(counts: RegionCounts, binary: bool, percent: float) -> Tensor:
    values = torch.stack(list(image_scores(counts, binary).values()), 1)
    return worst_mean(values, percent)


def _class_means(counts: RegionCounts, binary: bool, percent: float) -> Tensor:
    scores = class_scores(counts, binary, percent)
    return torch.stack(list(scores.values())).nanmean(1)
