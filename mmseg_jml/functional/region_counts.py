"""Pixels of each image and class: hit, predicted and labelled."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_jml.kernels import HardLabel

from .pixel_chunks import check_range

__all__ = ['RegionCounts', 'region_counts']


class RegionCounts(NamedTuple):
    """Numbers of pixels of each image and class.

    Attributes:
        hit (Tensor): (N, C) int64, pixels both predicted and labelled as the
            class.
        predicted (Tensor): (N, C) int64, pixels predicted as the class.
        labelled (Tensor): (N, C) int64, pixels labelled as the class.

    Examples:
        >>> label = torch.tensor([[0, 1, 0], [1, 1, 255]])
        >>> region_counts(torch.zeros_like(label), label, 2).total().labelled
        tensor([[2, 3]])
    """

    hit: Tensor
    predicted: Tensor
    labelled: Tensor

    def total(self) -> RegionCounts:
        """Return the sums over the images, as one row."""
        return RegionCounts(*(value.sum(0, keepdim=True) for value in self))

    def plus(self, other: RegionCounts) -> RegionCounts:
        """Add the counts of other pixels."""
        return RegionCounts(*(a + b for a, b in zip(self, other)))


def region_counts(
    prediction: Tensor,
    label: Tensor,
    num_classes: int,
    ignore_index: int | None = 255,
    check: bool = True,
) -> RegionCounts:
    """Count the pixels of each image and class.

    Args:
        prediction (Tensor): (N, *) integers in [0, C).
        label (Tensor): (N, *) integers in [0, C), or ``ignore_index``.
        num_classes (int): C.
        ignore_index (int, optional): Label of pixels that do not count.
            Defaults to 255.
        check (bool): Whether to check values, for which the host waits for
            a GPU. Unchecked pixels with a label outside [0, C) do not count.
            Defaults to True.

    Returns:
        RegionCounts: int64, one row per image.

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
    target = HardLabel(label, ignore_index)
    if check:
        counted = target.counted()
        check_range('prediction', prediction, counted, num_classes)
        check_range('label', label, counted, num_classes)
    counted = target.counted(num_classes)

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
