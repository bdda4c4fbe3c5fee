"""Label smoothing: which pixels become soft, and what they become."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mmseg_jml.kernels import HardLabel

__all__ = ['boundary_mask', 'smooth_label']


def boundary_mask(
    label: Tensor, kernel_size: int = 3, ignore_index: int | None = 255
) -> Tensor:
    """Pixels near a class boundary.

    A pixel is one where the ``kernel_size`` x ``kernel_size`` window around
    it holds a class other than its own and no ignored pixel. What lies beyond
    the image border is neutral: it is no other class, and it is not ignored.

    Args:
        label (Tensor): (N, H, W) integers.
        kernel_size (int): Odd window size in pixels, 3 or more. Defaults to
            3.
        ignore_index (int, optional): Label of ignored pixels. Defaults to
            255.

    Returns:
        Tensor: (N, H, W) bool.

    Raises:
        ValueError: If ``kernel_size`` is even or below 3, or ``label`` has
            not three dimensions.

    Examples:
        >>> label = torch.tensor([[[0, 0, 0, 1, 1]]])
        >>> boundary_mask(label).int()
        tensor([[[0, 0, 1, 1, 0]]], dtype=torch.int32)
    """
    if kernel_size < 3 or kernel_size % 2 == 0:
        raise ValueError(
            'Expected kernel_size to be odd and at least 3, but '
            f'got {kernel_size}'
        )
    if label.ndim != 3:
        raise ValueError(
            'Expected label of shape (N, H, W), since a boundary '
            f'needs an image, but got shape {tuple(label.shape)}'
        )
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


def _pad(label: Tensor, size: int) -> Tensor:
    """Repeats the border, which any window beyond it holds anyway."""
    images, height, width = label.shape
    padded = label.new_empty(images, height + 2 * size, width + 2 * size)
    rows = padded.narrow(1, size, height)
    rows.narrow(2, size, width).copy_(label)
    rows[:, :, :size] = label[:, :, :1]
    rows[:, :, size + width :] = label[:, :, -1:]
    padded[:, :size] = rows[:, :1]
    padded[:, size + height :] = rows[:, -1:]
    return padded


def _over_windows(
    value: Tensor, size: int, join: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Joins each ``size`` x ``size`` window of the last two dimensions."""
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


def _narrowed(
    label: Tensor, num_classes: int, ignore_index: int | None
) -> Tensor:
    """The label in as few bytes as hold all its values."""
    values = (0, num_classes - 1, ignore_index or 0)
    for dtype in (torch.uint8, torch.int16):
        info = torch.iinfo(dtype)
        if info.min <= min(values) and max(values) <= info.max:
            return label.to(dtype)
    return label


def smooth_label(
    label: Tensor,
    num_classes: int,
    mode: str,
    epsilon: float = 0.5,
    kernel_size: int = 3,
    ignore_index: int | None = 255,
    use_sigmoid: bool = False,
) -> HardLabel:
    """Boundary or uniform label smoothing, without a dense label.

    A smoothed pixel's label is ``(1 - epsilon) * onehot + epsilon / C`` (with
    sigmoid, where each class is a question of its own, ``epsilon / 2``).
    Boundary smoothing is that of "Jaccard Metric Losses: Optimizing the
    Jaccard Index with Soft Labels" (arXiv 2302.05666).

    Args:
        label (Tensor): (N, *) int64; (N, H, W) for 'boundary'.
        num_classes (int): C.
        mode (str): 'boundary' (see :func:`boundary_mask`) or 'uniform' (every
            pixel).
        epsilon (float): In [0, 1]. Defaults to 0.5.
        kernel_size (int): Window of the boundary. Defaults to 3.
        ignore_index (int, optional): Label of ignored pixels. Defaults to
            255.
        use_sigmoid (bool): Whether classes are not exclusive. Defaults to
            False.

    Returns:
        HardLabel: The smoothed target for region sums; its ``dense`` method
        gives the (N, C, *) label.

    Raises:
        ValueError: If ``mode`` is neither, or as in :func:`boundary_mask`.

    Examples:
        >>> label = torch.tensor([[[0, 0, 1, 255]]])
        >>> target = smooth_label(label, 2, 'uniform', epsilon=0.2)
        >>> target.dense(2, torch.float32)[0, :, 0]
        tensor([[0.9000, 0.9000, 0.1000, 0.0000],
                [0.1000, 0.1000, 0.9000, 0.0000]])
    """
    if mode not in ('boundary', 'uniform'):
        raise ValueError(
            "Expected label smoothing mode 'boundary' or "
            f"'uniform', but got {mode!r}"
        )
    share = epsilon / (2 if use_sigmoid else num_classes)
    smoothed = None
    if mode == 'boundary':
        narrow = _narrowed(label, num_classes, ignore_index)
        smoothed = boundary_mask(narrow, kernel_size, ignore_index)
    return HardLabel(
        label,
        ignore_index,
        on=1 - epsilon + share,
        off=share,
        smoothed=smoothed,
    )
