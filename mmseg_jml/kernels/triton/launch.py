"""Arguments that the kernels of both resolutions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..request import Request

__all__ = ['class_weight', 'named_strides', 'packed', 'slope_arguments']


def named_strides(
    name: str, strides: Sequence[int | None]
) -> dict[str, int | None]:
    """Name the strides of (N, C, rows, columns) as the kernels do."""
    axes = ('n', 'c', 'row', 'col')
    return {f'{name}_{axis}': value for axis, value in zip(axes, strides)}


def packed(tensor: Tensor | None) -> Tensor | None:
    """Make a tensor contiguous, and view bools as bytes."""
    if tensor is None:
        return None
    tensor = tensor.contiguous()
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor


def class_weight(request: Request) -> Tensor | None:
    """Return the class weights on the device of the logits."""
    value = request.class_weight
    return None if value is None else packed(value.to(request.logits.device))


def slope_arguments(slopes: Tensor) -> dict[str, Any]:
    """Return the slopes, and their stride by image: 0 if images share them."""
    step = slopes[0].numel() if len(slopes) > 1 else 0
    return dict(slopes=slopes, slopes_n=step, PRODUCT=slopes.shape[1] > 3)
