"""Pixels of each class, the mean IoU that they give, and that of chance."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ['ClassCounts', 'class_counts']


class ClassCounts(NamedTuple):
    """Numbers of pixels of each class.

    Attributes:
        hit (Tensor): (C,), pixels both predicted and labelled as the class.
        predicted (Tensor): (C,), pixels predicted as the class.
        labelled (Tensor): (C,), pixels labelled as the class.
    """

    hit: Tensor
    predicted: Tensor
    labelled: Tensor

    def plus(self, other: ClassCounts) -> ClassCounts:
        """Add the counts of other pixels."""
        return ClassCounts(*(a + b for a, b in zip(self, other)))

    def mean_iou(self) -> Tensor:
        """Return the mean IoU over the classes that occur.

        Returns:
            Tensor: Scalar in [0, 1]; NaN if there is no pixel.
        """
        return self._mean_iou(self.hit)

    def chance_iou(self) -> Tensor:
        """Return the mIoU of the same predictions, shuffled over the pixels.

        If a share q of n pixels is predicted as a class and a share f is
        labelled as it, then n q f pixels are expected to be both.

        Returns:
            Tensor: Scalar in [0, 1]; NaN if there is no pixel.

        Examples:
            >>> half = torch.tensor([50, 50])  # q = f = 1/2: 25 / 75
            >>> ClassCounts(half, half, half).chance_iou()
            tensor(0.3333)
        """
        pixels = self.labelled.sum().clamp_min(1)
        return self._mean_iou(self.predicted * self.labelled / pixels)

    def _mean_iou(self, hit: Tensor) -> Tensor:
        union = self.predicted + self.labelled - hit
        return (hit / union).nanmean()  # 0 / 0 where there is none


def class_counts(
    prediction: Tensor, label: Tensor, counted: Tensor, num_classes: int
) -> ClassCounts:
    """Count the pixels of each class in a batch, without waiting for a GPU.

    Values are not checked, because reading one would make the host wait.

    Args:
        prediction (Tensor): (N, *) integers in [0, C).
        label (Tensor): (N, *) integers. A pixel with a label outside [0, C)
            does not count.
        counted (Tensor): (N, *) bool, False for more pixels that do not
            count.
        num_classes (int): C.

    Returns:
        ClassCounts: int64 numbers.

    Examples:
        >>> prediction = torch.tensor([[0, 1, 1, 0]])
        >>> label = torch.tensor([[0, 1, 0, 255]])
        >>> every = torch.ones_like(label).bool()
        >>> class_counts(prediction, label, every, 2).mean_iou()
        tensor(0.5000)
    """
    counted = counted & (label >= 0) & (label < num_classes)
    # pixels that do not count go to one more place, cut off below
    place = torch.where(
        counted, prediction * num_classes + label, num_classes**2
    ).flatten()
    confusion = place.new_zeros(num_classes**2 + 1)
    confusion.scatter_add_(0, place, torch.ones_like(place))
    confusion = confusion[:-1].view(num_classes, num_classes)
    return ClassCounts(
        confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    )
