"""Label smoothing: which pixels become soft, and what they become."""

from __future__ import annotations

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
    # A window holds two classes where two neighbours in it differ. Both are
    # marked, so that along their line one reach less suffices.
    reach = kernel_size // 2
    boundary = torch.zeros_like(label, dtype=torch.bool)
    for along, across in ((1, 2), (2, 1)):
        mask = _differs_from_neighbour(label, along)
        boundary |= _dilate(_dilate(mask, reach - 1, along), reach, across)
    if ignore_index is not None:
        ignored = label == ignore_index
        boundary &= ~_dilate(_dilate(ignored, reach, 1), reach, 2)
    return boundary


def _differs_from_neighbour(label: Tensor, dim: int) -> Tensor:
    """Pixels whose neighbour before or after along ``dim`` is another."""
    last = label.shape[dim] - 1
    differs = label.narrow(dim, 0, last) != label.narrow(dim, 1, last)
    mask = torch.zeros_like(label, dtype=torch.bool)
    mask.narrow(dim, 0, last).copy_(differs)
    mask.narrow(dim, 1, last).bitwise_or_(differs)
    return mask


def _dilate(mask: Tensor, reach: int, dim: int) -> Tensor:
    """Pixels that are at most ``reach`` from one of ``mask`` along ``dim``."""
    last = mask.shape[dim] - 1
    for _ in range(reach):
        wider = mask.clone()
        wider.narrow(dim, 0, last).bitwise_or_(mask.narrow(dim, 1, last))
        wider.narrow(dim, 1, last).bitwise_or_(mask.narrow(dim, 0, last))
        mask = wider
    return mask


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
        smoothed = boundary_mask(label, kernel_size, ignore_index)
    return HardLabel(
        label,
        ignore_index,
        on=1 - epsilon + share,
        off=share,
        smoothed=smoothed,
    )
