"""The kinds of label that region sums know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

import torch
from torch import Tensor

__all__ = ['HardLabel', 'Probabilities', 'Target', 'TeacherLogits']


@dataclass(frozen=True)
class HardLabel:
    """One class per pixel, smoothed or not.

    On a smoothed pixel the label's own class has probability ``on`` and every
    other class ``off``; elsewhere they are 1 and 0. With a ``window`` the
    rest, 1 - ``on``, goes to the classes in the pixel's window, to each its
    share of the votes. The dense label (N, C, *) is never built.

    Args:
        label (Tensor): (N, *) int64 in [0, C) or ``ignore_index``.
        ignore_index (int, optional): Label of pixels that do not count.
            None: every pixel counts. Defaults to 255.
        on (float): Probability of the label's class on a smoothed pixel, in
            [0, 1]. Defaults to 1.0.
        off (float): Probability of each other class there, in [0, 1].
            Defaults to 0.0.
        smoothed (Tensor, optional): (N, *) bool, the smoothed pixels. None
            means all of them. Defaults to None.
        window (Tensor, optional): (N, k, k, *) integers >= 0, the labels
            around each pixel, itself included; those of C and above do not
            vote. It may be a view, as of
            :func:`mmseg_jml.functional.label_windows`, and takes the place of
            ``off`` and ``smoothed``. Defaults to None.

    Examples:
        >>> target = HardLabel(torch.tensor([[1, 255]]), on=0.8, off=0.1)
        >>> target.dense(3, torch.float64)[0].tolist()  # class by class
        [[0.1, 0.0], [0.8, 0.0], [0.1, 0.0]]
    """

    label: Tensor
    ignore_index: int | None = 255
    on: float = 1.0
    off: float = 0.0
    smoothed: Tensor | None = None
    window: Tensor | None = None

    @property
    def is_smoothed(self) -> bool:
        """Whether any pixel may carry a soft label."""
        return self.on != 1.0 or self.off != 0.0

    def dense(self, num_classes: int, dtype: torch.dtype) -> Tensor:
        """Return the label as (N, C, *) values, all 0 on ignored pixels."""
        hit = _matches(self.label, num_classes)
        value = hit.to(dtype)
        if self.window is not None:
            value = self._shared(hit, self.window, dtype)
        elif self.is_smoothed:
            # as tensors: torch.where would round numbers to float32
            soft = torch.where(
                hit, value.new_full((), self.on), value.new_full((), self.off)
            )
            if self.smoothed is not None:
                soft = torch.where(self.smoothed.unsqueeze(1), soft, value)
            value = soft
        return value * self.counted().unsqueeze(1)

    def _shared(
        self, hit: Tensor, window: Tensor, dtype: torch.dtype
    ) -> Tensor:
        """Return the label of :meth:`dense` with a window."""
        votes = torch.zeros_like(hit, dtype=dtype)
        for row in window.unbind(1):
            for label in row.unbind(1):
                votes += _matches(label, hit.shape[1])
        total = votes.sum(1, keepdim=True).clamp(min=1)
        spread = 1 - self.on
        # exactly 1 where all votes are for the pixel's own class
        own = 1 - spread * (total - votes) / total
        return torch.where(hit, own, spread * votes / total)

    def counted(self, num_classes: int | None = None) -> Tensor:
        """Find the pixels that are not ignored, (N, *) bool.

        Args:
            num_classes (int, optional): C, to leave out labels outside [0, C)
                as well. Defaults to None.
        """
        if self.ignore_index is None:
            counted = torch.ones_like(self.label, dtype=torch.bool)
        else:
            counted = self.label != self.ignore_index
        if num_classes is None:
            return counted
        return counted & (self.label >= 0) & (self.label < num_classes)


def _matches(label: Tensor, num_classes: int) -> Tensor:
    """Find where the label is each class, (N, C, *) bool."""
    classes = torch.arange(num_classes, device=label.device)
    return label.unsqueeze(1) == classes.view(-1, *[1] * (label.ndim - 1))


@dataclass(frozen=True)
class Probabilities:
    """A soft label given as probabilities.

    Args:
        value (Tensor): (N, C, *) floats in [0, 1]. Give pixels that do not
            count a pixel weight of 0.

    Examples:
        >>> target = Probabilities(torch.tensor([[[0.75], [0.25]]]))
        >>> target.dense(2, torch.float64).flatten().tolist()
        [0.75, 0.25]
    """

    value: Tensor

    def dense(self, num_classes: int, dtype: torch.dtype) -> Tensor:
        """Return the soft label itself, (N, C, *), as ``dtype``."""
        return self.value.to(dtype)


@dataclass(frozen=True)
class TeacherLogits:
    """A soft label given as logits: softmax(value / temperature).

    Args:
        value (Tensor): (N, C, *) logits.
        temperature (float): Above 0. Defaults to 1.0.
        use_sigmoid (bool): sigmoid(value / temperature), per class, in place
            of the softmax. Defaults to False.
        size (tuple[int, int], optional): The size of the label where
            ``value`` is smaller: the teacher's logits are then upsampled to
            it, as ``F.interpolate(mode='bilinear')`` does it. Defaults to
            None.
        align_corners (bool): As for ``F.interpolate``. Defaults to False.

    Examples:
        >>> value = torch.tensor([[[9.0], [1.0]]]).log()
        >>> target = TeacherLogits(value, temperature=2.0)  # sqrt(9) to 1
        >>> target.dense(2, torch.float32).flatten().round(decimals=4)
        tensor([0.7500, 0.2500])
    """

    value: Tensor
    temperature: float = 1.0
    use_sigmoid: bool = False
    size: tuple[int, int] | None = None
    align_corners: bool = False

    def dense(self, num_classes: int, dtype: torch.dtype) -> Tensor:
        """Return the teacher's probabilities, as ``dtype``.

        Returns:
            Tensor: (N, C, *) in [0, 1], of the size of ``value``.
        """
        logits = self.value.to(dtype) / self.temperature
        return logits.sigmoid() if self.use_sigmoid else logits.softmax(1)


#: Any kind of label.
Target = Union[HardLabel, Probabilities, TeacherLogits]
