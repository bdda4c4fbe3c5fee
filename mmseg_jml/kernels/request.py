"""The request of region sums: which sums, over which pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from .targets import HardLabel, Target, TeacherLogits

__all__ = ['Request']


@dataclass(frozen=True)
class Request:
    """What to sum over the pixels of a batch.

    Args:
        logits (Tensor): (N, C, *) floats. With two spatial dimensions they
            may be smaller than the label: they are then upsampled to its
            size, exactly as ``F.interpolate(mode='bilinear')`` does it.
        target (Target): The label.
        weight (Tensor, optional): (N, *) pixel weights >= 0, of the label's
            size. Defaults to None.
        class_weight (Tensor, optional): (C,), for the cross-entropy alone.
            Defaults to None.
        norm (float): n >= 1 of the sums of abs(.)^n. Defaults to 1.
        use_sigmoid (bool): One sigmoid per class in place of the softmax
            over classes. Defaults to False.
        with_product (bool): Also sum w p y. Defaults to False.
        with_cross_entropy (bool): Also sum the cross-entropy. Defaults to
            False.
        with_hits (bool): Also count the pixels whose labelled class has the
            largest logit; for a ``HardLabel``. Defaults to False.
        largest_of (str, optional): 'prediction', 'label' or 'both': also
            find the largest p, y or p + y of each class. Defaults to None.
        align_corners (bool): As for ``F.interpolate``. Defaults to False.

    Examples:
        Logits of half the label's resolution:

        >>> label = HardLabel(torch.zeros(1, 4, 6, dtype=torch.long))
        >>> request = Request(torch.zeros(1, 2, 2, 3), label)
        >>> request.size, request.is_upsampled, request.is_hard
        (torch.Size([4, 6]), True, True)
    """

    logits: Tensor
    target: Target
    weight: Tensor | None = None
    class_weight: Tensor | None = None
    norm: float = 1
    use_sigmoid: bool = False
    with_product: bool = False
    with_cross_entropy: bool = False
    with_hits: bool = False
    largest_of: str | None = None
    align_corners: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The dtype to compute in: float32, or float64 for float64 logits."""
        double = self.logits.dtype == torch.float64
        return torch.float64 if double else torch.float32

    @property
    def size(self) -> torch.Size:
        """The spatial size of the label."""
        target = self.target
        if isinstance(target, HardLabel):
            return target.label.shape[1:]
        if isinstance(target, TeacherLogits) and target.size is not None:
            return torch.Size(target.size)
        return target.value.shape[2:]

    @property
    def is_upsampled(self) -> bool:
        """Whether these or a teacher's logits are smaller than the label."""
        values = [self.logits]
        if not isinstance(self.target, HardLabel):
            values.append(self.target.value)
        return any(value.shape[2:] != self.size for value in values)

    @property
    def is_hard(self) -> bool:
        """Whether every label is one class of probability 1."""
        target = self.target
        return isinstance(target, HardLabel) and not target.is_smoothed

    def tensors(self) -> dict[str, Tensor | None]:
        """Return all tensors by name, those of the target included.

        Autograd sees only tensors that are arguments of a function by
        themselves; :meth:`with_tensors` puts them back into a request.
        """
        tensors: dict[str, Tensor | None] = {
            'logits': self.logits,
            'weight': self.weight,
            'class_weight': self.class_weight,
        }
        for field in fields(self.target):
            value = getattr(self.target, field.name)
            if isinstance(value, Tensor):
                tensors[field.name] = value
        return tensors

    def with_tensors(self, tensors: Mapping[str, Tensor | None]) -> Request:
        """Return a request with other tensors, named as in :meth:`tensors`."""
        own: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for name, value in tensors.items():
            (own if hasattr(self, name) else others)[name] = value
        target = replace(self.target, **others) if others else self.target
        return replace(self, target=target, **own)
