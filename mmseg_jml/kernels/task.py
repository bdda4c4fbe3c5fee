"""What the chunked kernels are asked for."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .targets import Target

__all__ = ['Slopes', 'Task']


class Task(NamedTuple):
    """What to sum, as :func:`mmseg_jml.kernels.region_sums` names it.

    Autograd wants to see tensors as arguments of their own, so that a target
    travels as its other fields, the names of its tensors, and the tensors.
    """

    norm: float
    use_sigmoid: bool
    with_product: bool
    with_cross_entropy: bool
    target: Target  # without its tensors
    names: tuple[str, ...]


class Slopes(NamedTuple):
    """Derivatives of the loss by the region sums; None where there is none.

    Attributes:
        prediction (Tensor): (N, C).
        overlap (Tensor): (N, C).
        product (Tensor, optional): (N, C).
        cross_entropy (Tensor, optional): (N,).
    """

    prediction: Tensor
    overlap: Tensor
    product: Tensor | None
    cross_entropy: Tensor | None

    def of(self, images: slice) -> Slopes:
        """Those of some images."""
        return Slopes(
            *(None if value is None else value[images] for value in self)
        )

    def to(self, dtype: torch.dtype) -> Slopes:
        """The same numbers in another dtype."""
        return Slopes(
            *(None if value is None else value.to(dtype) for value in self)
        )
