"""Which classes a region loss averages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_jml.kernels import RegionSums

from .options import ActiveClasses, RegionLossOptions

__all__ = ['active_classes', 'largest_of']

# The value that has to exceed the threshold in each mode.
_LARGEST = {
    'PRESENT': 'label',
    'LABEL': 'label',
    'PROB': 'prediction',
    'BOTH': 'both',
}


def largest_of(options: RegionLossOptions, is_hard: bool) -> str | None:
    """Choose the ``largest_of`` that a request needs to find active classes.

    Returns:
        str | None: 'label', 'prediction' or 'both'; None if no maximum is
        needed, as where the sums of a hard label tell which classes occur.
    """
    mode = options.active_classes(is_hard)
    value = _LARGEST.get(mode) if isinstance(mode, str) else None
    return None if is_hard and value == 'label' else value


@torch.no_grad()
def active_classes(
    sums: RegionSums, mode: ActiveClasses, threshold: float
) -> Tensor:
    """Find the classes that a region loss averages in each image, (N, C) bool.

    An image without a counted pixel has none. Mode and threshold are those of
    the :class:`mmseg_jml.functional.RegionLossOptions`, and ``sums`` have the
    ``largest`` values that :func:`largest_of` asks for.

    Raises:
        ValueError: If the list names a class that ``sums`` do not have.

    Examples:
        Three pixels of class 0; class 1 is predicted, but not labelled:

        >>> by_class = torch.tensor([[[2.0, 1.0], [3.0, 0.0], [2.0, 0.0]]])
        >>> sums = RegionSums(by_class, by_image=torch.zeros(1, 2))
        >>> active_classes(sums, 'PRESENT', 0.01)
        tensor([[ True, False]])
        >>> active_classes(sums, 'ALL', 0.01)
        tensor([[True, True]])
    """
    if isinstance(mode, str) and mode != 'ALL':
        if sums.largest is None:  # a hard label: a class is there or not
            return sums.by_class[:, 1] > 0
        return _counted_images(sums) & (sums.largest > threshold)
    if isinstance(mode, str):
        return _counted_images(sums).expand_as(sums.target)
    return _counted_images(sums) & _listed(sums.target, mode)


def _counted_images(sums: RegionSums) -> Tensor:
    return (sums.prediction + sums.target).sum(1, keepdim=True) > 0


def _listed(like: Tensor, classes: Sequence[int]) -> Tensor:
    if max(classes) >= like.shape[1]:
        raise ValueError(
            f'Expected active classes below {like.shape[1]}, the number of '
            f'channels of the logits, but got {list(classes)}'
        )
    every = torch.arange(like.shape[1], device=like.device)
    return torch.stack([every == c for c in classes]).any(0)
