"""What a pixel should be: the three kinds of target that region sums take."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Union

import torch
from torch import Tensor

__all__ = [
    'HardLabel',
    'Probabilities',
    'TeacherLogits',
    'Target',
    'tensors_of',
]


@dataclass(frozen=True)
class HardLabel:
    """One class per pixel, smoothed or not.

    On a smoothed pixel the label's own class has probability ``on`` and every
    other class ``off``; elsewhere they are 1 and 0. The dense label
    (N, C, *) is never built.

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
    """

    label: Tensor
    ignore_index: int | None = 255
    on: float = 1.0
    off: float = 0.0
    smoothed: Tensor | None = None

    @property
    def is_smoothed(self) -> bool:
        """Whether any pixel may carry a soft label."""
        return self.on != 1.0 or self.off != 0.0

    def dense(self, num_classes: int, dtype: torch.dtype) -> Tensor:
        """The label as (N, C, *) values; 0 in every class where ignored."""
        classes = torch.arange(num_classes, device=self.label.device)
        classes = classes.view(-1, *[1] * (self.label.ndim - 1))
        hit = self.label.unsqueeze(1) == classes
        value = hit.to(dtype)
        if self.is_smoothed:
            # numbers alone would be rounded to float32
            soft = torch.where(
                hit, value.new_full((), self.on), value.new_full((), self.off)
            )
            if self.smoothed is not None:
                soft = torch.where(self.smoothed.unsqueeze(1), soft, value)
            value = soft
        return value * self.counted().unsqueeze(1)

    def counted(self) -> Tensor:
        """(N, *) bool: the pixels that are not ignored."""
        if self.ignore_index is None:
            return torch.ones_like(self.label, dtype=torch.bool)
        return self.label != self.ignore_index


@dataclass(frozen=True)
class Probabilities:
    """A soft label, (N, C, *) floats in [0, 1].

    Pixels that do not count are given by a pixel weight of 0.
    """

    value: Tensor

    def dense(self, num_classes: int, dtype: torch.dtype) -> Tensor:
        """The soft label itself, as ``dtype``."""
        return self.value.to(dtype)


@dataclass(frozen=True)
class TeacherLogits:
    """A soft label given as logits: softmax(value / temperature).

    Args:
        value (Tensor): (N, C, *) logits.
        temperature (float): Above 0. Defaults to 1.0.
        use_sigmoid (bool): sigmoid(value / temperature), per class, in place
            of the softmax. Defaults to False.
    """

    value: Tensor
    temperature: float = 1.0
    use_sigmoid: bool = False

    def dense(self, num_classes: int, dtype: torch.dtype) -> Tensor:
        """The teacher's probabilities, as ``dtype``."""
        logits = self.value.to(dtype) / self.temperature
        return logits.sigmoid() if self.use_sigmoid else logits.softmax(1)


Target = Union[HardLabel, Probabilities, TeacherLogits]


def tensors_of(target: Target) -> dict[str, Tensor]:
    """The tensors among a target's fields, by name."""
    values = {
        field.name: getattr(target, field.name) for field in fields(target)
    }
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
