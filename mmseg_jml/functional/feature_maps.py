"""What the distances between two feature maps do to the maps first."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ['describe', 'exact', 'of_one_size']


def exact(value: Tensor) -> Tensor:
    """Convert to float32 at least: squares overflow in half precision."""
    return value.to(torch.promote_types(value.dtype, torch.float32))


def of_one_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Resize two maps to the larger height and the larger width.

    Raises:
        ValueError: If the sizes differ and the maps are not (N, C, H, W).

    Examples:
        >>> first, second = torch.zeros(1, 3, 4, 2), torch.zeros(1, 5, 2, 4)
        >>> [tuple(value.shape) for value in of_one_size(first, second)]
        [(1, 3, 4, 4), (1, 5, 4, 4)]
    """
    if first.shape[2:] == second.shape[2:]:
        return first, second
    if first.ndim != 4 or second.ndim != 4:
        raise ValueError(
            'Expected maps of shape (N, C, H, W), which can be resized to one '
            f'another, but got {describe(first)} and {describe(second)}.'
        )
    height, width = map(max, zip(first.shape[2:], second.shape[2:]))
    resized = [
        value
        if value.shape[2:] == (height, width)
        else F.interpolate(value, (height, width), mode='bilinear')
        for value in (first, second)
    ]
    return resized[0], resized[1]


def describe(value: Tensor) -> str:
    """Name the channels and the shape of a map in an error."""
    return f'{value.shape[1]} channels in shape {tuple(value.shape)}'
