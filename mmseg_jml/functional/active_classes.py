"""Which classes a region loss averages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_jml.kernels import RegionSums

from .options import ActiveClasses

__all__ = ['active_classes', 'largest_of']

# What has to exceed the threshold in each mode. A hard label exceeds it where
# the class is present, which the sums tell by themselves.
_LARGEST = {
    'PRESENT': 'label',
    'LABEL': 'label',
    'PROB': 'prediction',
    'BOTH': 'both',
}


def largest_of(mode: ActiveClasses, is_hard: bool) -> str | None:
    """The ``largest_of`` that a request needs for a mode.

    Args:
        mode (str | Sequence[int]): As for :func:`active_classes`.
        is_hard (bool): Whether every label is one class of probability 1.

    Returns:
        str | None: 'label', 'prediction', 'both' or nothing.
    """
    value = _LARGEST.get(mode) if isinstance(mode, str) else None
    return None if is_hard and value == 'label' else value


@torch.no_grad()
def active_classes(
    sums: RegionSums, mode: ActiveClasses, threshold: float = 0.01
) -> Tensor:
    """The classes that count in each image that has a counted pixel.

    Args:
        sums (RegionSums): Region sums, with the ``largest`` values where
            :func:`largest_of` wants them.
        mode (str | Sequence[int]): 'ALL', 'PRESENT', 'LABEL', 'PROB', 'BOTH'
            or a list of classes, see
            :class:`mmseg_jml.functional.RegionLossOptions`.
        threshold (float): What the largest value over pixels has to exceed.
            Defaults to 0.01.

    Returns:
        Tensor: (N, C) bool.

    Raises:
        ValueError: If the list names a class that ``sums`` do not have.
    """
    if mode in ('PRESENT', 'LABEL') and sums.largest is None:
        return sums.by_class[:, 1] > 0
    seen = (sums.prediction + sums.target).sum(1, keepdim=True) > 0
    if mode == 'ALL':
        return seen.expand_as(sums.target)
    if not isinstance(mode, str):
        return seen & _listed(sums.target, mode)
    return seen & (sums.largest > threshold)


def _listed(like: Tensor, classes: Sequence[int]) -> Tensor:
    if max(classes) >= like.shape[1]:
        raise ValueError(
            f'Expected active classes below {like.shape[1]}, the number of '
            f'channels of the logits, but got {list(classes)}'
        )
    every = torch.arange(like.shape[1], device=like.device)
    return torch.stack([every == c for c in classes]).any(0)
