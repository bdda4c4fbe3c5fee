"""Some rows of a resized image, computed without the others."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ['resized_dtype', 'resized_rows']


def resized_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the dtype of ``F.interpolate``, which autocast may change."""
    one = torch.zeros(1, 1, 1, 1, dtype=dtype, device=device)
    return F.interpolate(one, (1, 1), mode='bilinear').dtype


def resized_rows(
    read: Callable[[Tensor], Tensor],
    size: tuple[int, int],
    new_size: tuple[int, int],
    rows: Tensor,
    dtype: torch.dtype,
    align_corners: bool = False,
) -> Tensor:
    """Compute some rows of a bilinearly resized image.

    With ``image`` = ``read(torch.arange(size[0]))`` it equals, up to the
    rounding of the last operation::

        F.interpolate(image[None], new_size, mode='bilinear')[0][:, rows]

    Positions are those that ``F.interpolate`` computes, rounding included,
    whether the image grows or shrinks.

    Args:
        read (Callable): Takes the numbers of rows, (r,) int64 on the CPU, and
            returns these rows of the image, (C, r, w).
        size (tuple[int, int]): Height and width of the image.
        new_size (tuple[int, int]): Height and width W to resize to.
        rows (Tensor): (R,) int64 on the CPU, rows of the resized image.
        dtype (torch.dtype): Dtype of the image. Half precision is computed in
            float32, as ``F.interpolate`` does.
        align_corners (bool): As in ``F.interpolate``. Defaults to False.

    Returns:
        Tensor: (C, R, W) in float32, or float64 for a float64 image.

    Examples:
        >>> image = torch.tensor([[[0.0, 1.0], [2.0, 3.0]]])
        >>> resized_rows(
        ...     lambda rows: image[:, rows],
        ...     (2, 2),
        ...     (4, 2),
        ...     torch.tensor([0, 1]),
        ...     image.dtype,
        ... )
        tensor([[[0.0000, 1.0000],
                 [0.5000, 1.5000]]])
    """
    (height, width), (new_height, new_width) = size, new_size
    dtype = torch.promote_types(dtype, torch.float32)
    first, share = _positions(height, new_height, align_corners, dtype)
    first, share = first[rows], share[rows].unsqueeze(1)
    second = (first + 1).clamp(max=height - 1)
    if height == new_height:
        second = first
    needed, place = torch.stack([first, second]).unique(return_inverse=True)
    image = read(needed).to(dtype)
    if width != new_width:
        image = _resized_columns(image, new_width, align_corners)
    place, share = place.to(image.device), share.to(image.device)
    above = image.index_select(1, place[0])
    if height == new_height:
        return above
    below = image.index_select(1, place[1])
    return above.mul_(1 - share).addcmul_(below, share)


def _resized_columns(image: Tensor, width: int, align_corners: bool) -> Tensor:
    """Resize (C, R, w) to (C, R, width)."""
    classes, rows, _ = image.shape
    if image.is_cuda:
        # mode='linear' has a thread for each column there, which goes through
        # all rows of all classes. To the same height no rows are mixed.
        return F.interpolate(
            image[None],
            (rows, width),
            mode='bilinear',
            align_corners=align_corners,
        )[0]
    return F.interpolate(
        image.reshape(1, classes * rows, -1),
        width,
        mode='linear',
        align_corners=align_corners,
    ).view(classes, rows, width)


@functools.lru_cache(maxsize=64)
def _positions(
    inputs: int, outputs: int, align_corners: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Find for each output the input before it and the share of the next.

    The scale is rounded to ``dtype`` and so is the position, but nothing in
    between: PyTorch's kernels compile to a fused multiply-add.
    """
    output = torch.arange(outputs, dtype=torch.float64)
    if align_corners:
        scale = torch.tensor(inputs - 1, dtype=dtype) / max(outputs - 1, 1)
        source = output * scale.double()
    else:
        scale = torch.tensor(inputs, dtype=dtype) / outputs
        source = (output + 0.5) * scale.double() - 0.5
    source = source.to(dtype).clamp(min=0)
    first = source.floor().clamp(max=inputs - 1)
    return first.long(), source - first
