"""Windows around each pixel of a label."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mmseg_jml.kernels import HardLabel

__all__ = [
    'boundary_mask',
    'check_kernel_size',
    'label_windows',
    'narrowest_dtype',
]


def check_kernel_size(kernel_size: int) -> None:
    """Check that a window has a middle, and pixels around it.

    Raises:
        ValueError: If ``kernel_size`` is even, below 3 or no whole number.
    """
    whole = isinstance(kernel_size, Integral)
    if not whole or kernel_size < 3 or kernel_size % 2 == 0:
        raise ValueError(
            'Expected label_smoothing kernel_size to be odd and at least 3, '
            f'but got {kernel_size!r}; the smallest window is kernel_size=3'
        )


def _check(label: Tensor, kernel_size: int) -> None:
    check_kernel_size(kernel_size)
    if label.ndim != 3:
        raise ValueError(
            'Expected label of shape (N, H, W), since a window needs an '
            f'image, but got shape {tuple(label.shape)}'
        )


def narrowest_dtype(*values: int) -> torch.dtype:
    """Return the smallest integer type that holds all values."""
    for dtype in (torch.uint8, torch.int16):
        info = torch.iinfo(dtype)
        if info.min <= min(values) and max(values) <= info.max:
            return dtype
    return torch.int64


def boundary_mask(
    label: Tensor, kernel_size: int = 3, ignore_index: int | None = 255
) -> Tensor:
    """Find the pixels near a class boundary.

    A pixel is near a boundary if the ``kernel_size`` x ``kernel_size`` window
    around it holds a class other than its own and no ignored pixel. What lies
    beyond the image border is neutral: no other class, and not ignored.

    Args:
        label (Tensor): (N, H, W) integers.
        kernel_size (int): Odd window size in pixels, 3 or more. Defaults to
            3.
        ignore_index (int, optional): Label of ignored pixels. Defaults to
            255.

    Returns:
        Tensor: (N, H, W) bool.

    Raises:
        ValueError: If ``kernel_size`` is even or below 3, or ``label`` does
            not have three dimensions.

    Examples:
        >>> label = torch.tensor([[[0, 0, 0, 1, 1]]])
        >>> boundary_mask(label).int()
        tensor([[[0, 0, 1, 1, 0]]], dtype=torch.int32)
    """
    _check(label, kernel_size)
    mask = torch.empty_like(label, dtype=torch.bool)
    # on a CPU image by image, which stays in the cache
    together = 1 if label.device.type == 'cpu' else max(1, len(label))
    for images, out in zip(label.split(together), mask.split(together)):
        images = _pad(images, kernel_size // 2)
        lowest = _over_windows(images, kernel_size, torch.minimum)
        out.copy_(lowest != _over_windows(images, kernel_size, torch.maximum))
        if ignore_index is not None:
            # written to bytes, which torch vectorises, then read as bools
            ignored = images.new_empty(images.shape)
            torch.eq(images, ignore_index, out=ignored)
            near = _over_windows(ignored, kernel_size, torch.bitwise_or)
            out &= ~near.bool()
    return mask


def label_windows(
    label: Tensor,
    num_classes: int,
    kernel_size: int = 3,
    ignore_index: int | None = 255,
) -> Tensor:
    """Return a view of the labels around each pixel.

    It takes the memory of one padded label, a byte or two a pixel, whatever
    the size of the window. ``num_classes`` stands for ignored pixels, for
    labels that are no class and for what lies beyond the image border.

    Args:
        label (Tensor): (N, H, W) integers.
        num_classes (int): C.
        kernel_size (int): k, odd, 3 or more. Defaults to 3.
        ignore_index (int, optional): Label of ignored pixels. Defaults to
            255.

    Returns:
        Tensor: (N, k, k, H, W) integers in [0, C].

    Raises:
        ValueError: As :func:`boundary_mask`.

    Examples:
        >>> label = torch.tensor([[[0, 1, 255]]])
        >>> windows = label_windows(label, 2)
        >>> windows[0, :, :, 0, 1]
        tensor([[2, 2, 2],
                [0, 1, 2],
                [2, 2, 2]], dtype=torch.uint8)
    """
    _check(label, kernel_size)
    counted = HardLabel(label, ignore_index).counted(num_classes)
    dtype = narrowest_dtype(0, num_classes)
    votes = torch.where(counted, label, num_classes).to(dtype)
    padded = F.pad(votes, [kernel_size // 2] * 4, value=num_classes)
    windows = padded.unfold(1, kernel_size, 1).unfold(2, kernel_size, 1)
    return windows.permute(0, 3, 4, 1, 2)


def _pad(label: Tensor, size: int) -> Tensor:
    """Repeat the border, which a window that reaches beyond holds anyway."""
    padded = F.pad(label, [size] * 4)
    rows = padded[:, size : size + label.shape[1]]
    rows[:, :, :size] = label[:, :, :1]
    rows[:, :, size + label.shape[2] :] = label[:, :, -1:]
    padded[:, :size] = rows[:, :1]
    padded[:, size + label.shape[1] :] = rows[:, -1:]
    return padded


def _over_windows(
    value: Tensor, size: int, join: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Reduce each ``size`` x ``size`` window by ``join``."""
    for dim in (1, 2):
        width = 1
        while width < size:
            step = min(width, size - width)
            length = value.shape[dim] - step
            value = join(
                value.narrow(dim, 0, length), value.narrow(dim, step, length)
            )
            width += step
    return value
