"""How often classes are predicted, labelled and met, and what chance meets."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ['ClassCounts', 'class_counts']


class ClassCounts(NamedTuple):
    """Pixels of each class.

    Attributes:
        hit (Tensor): (C,), predicted and labelled.
        predicted (Tensor): (C,), predicted, right or wrong.
        labelled (Tensor): (C,), labelled, found or not.
    """

    hit: Tensor
    predicted: Tensor
    labelled: Tensor

    def plus(self, other: ClassCounts) -> ClassCounts:
        """Add the pixels of others."""
        return ClassCounts(*(a + b for a, b in zip(self, other)))

    def mean_iou(self) -> Tensor:
        """Intersection over union, the mean over classes that occur.

        Returns:
            Tensor: Scalar in [0, 1]; NaN if there is no pixel.
        """
        return self._mean_iou(self.hit)

    def chance_iou(self) -> Tensor:
        """The mIoU of the same predictions, dealt to the pixels at random.

        Where a share q of n pixels is predicted as a class and a share f
        labelled with it, chance expects n q f of them to be both.

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
    """Count the pixels of a batch, without a wait for a GPU.

    Nothing is checked, because reading a value would let the host wait.

    Args:
        prediction (Tensor): (N, *) integers in [0, C).
        label (Tensor): (N, *) integers. A pixel with a label outside [0, C)
            does not count.
        counted (Tensor): (N, *) bool, the other pixels that count.
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
    # what does not count goes to one more place, cut off at the end
    place = torch.where(
        counted, prediction * num_classes + label, num_classes**2
    ).flatten()
    confusion = place.new_zeros(num_classes**2 + 1)
    confusion.scatter_add_(0, place, torch.ones_like(place))
    confusion = confusion[:-1].view(num_classes, num_classes)
    return ClassCounts(
        confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    )
