"""Arguments that the kernels of both resolutions take alike."""

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
    """Strides of (N, C, rows, columns) as the kernels name them."""
    axes = ('n', 'c', 'row', 'col')
    return {f'{name}_{axis}': value for axis, value in zip(axes, strides)}


def packed(tensor: Tensor | None) -> Tensor | None:
    """Numbers of pixels in one piece, bools as bytes."""
    if tensor is None:
        return None
    tensor = tensor.contiguous()
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor


def class_weight(request: Request) -> Tensor | None:
    """The class weights beside the logits."""
    value = request.class_weight
    return None if value is None else packed(value.to(request.logits.device))


def slope_arguments(slopes: Tensor) -> dict[str, Any]:
    """Slopes, and how far apart two images have theirs, which may share."""
    step = slopes[0].numel() if len(slopes) > 1 else 0
    return dict(slopes=slopes, slopes_n=step, PRODUCT=slopes.shape[1] > 3)
