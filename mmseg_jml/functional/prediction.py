"""Predicted classes, without logits of the image's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .resized_rows import resized_dtype, resized_rows

__all__ = ['Canvas', 'View', 'Window', 'predicted_classes']

# Classes that are compared at a time, and how many logits of full size exist
# then: they fit a CPU's cache; on a GPU a launch costs more than memory.
_CLASSES = 16
_PIECE_ON_CPU = 2**19
_PIECE_ON_GPU = 2**22


class Window(NamedTuple):
    """Logits of a part of an image, at the resolution of the head.

    Attributes:
        logits (Tensor): (C, h, w).
        rows (slice): Start and stop of the window's rows in the image.
        columns (slice): Start and stop of its columns.

    Examples:
        >>> Window(torch.zeros(3, 2, 2), slice(0, 8), slice(8, 16)).columns
        slice(8, 16, None)
    """

    logits: Tensor
    rows: slice
    columns: slice


@dataclass(frozen=True)
class Canvas:
    """Logits of an image: resized windows, averaged where they overlap.

    Args:
        windows (Sequence[Window]): Windows that cover the image.
        size (tuple[int, int]): Height and width of the image.
        align_corners (bool): As in ``F.interpolate``. Defaults to False.
        dtype (torch.dtype, optional): Dtype in which resized logits are added
            and kept. None means that of ``F.interpolate``. Defaults to None.

    Examples:
        >>> window = Window(torch.zeros(3, 2, 2), slice(0, 8), slice(0, 8))
        >>> Canvas([window], size=(8, 8)).classes
        3
    """

    windows: Sequence[Window]
    size: tuple[int, int]
    align_corners: bool = False
    dtype: torch.dtype | None = None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.windows[0].logits)

    @property
    def device(self) -> torch.device:
        """Device of the logits."""
        return self.windows[0].logits.device

    @property
    def image_dtype(self) -> torch.dtype:
        """Type of the resized logits."""
        logits = self.windows[0].logits
        return self.dtype or resized_dtype(logits.dtype, self.device)

    def read(self, rows: Tensor, classes: slice) -> Tensor:
        """Compute rows of some classes.

        Args:
            rows (Tensor): (R,) int64 in [0, H), on the CPU.
            classes (slice): The classes, C of them.

        Returns:
            Tensor: (C, R, W) logits, of ``image_dtype``.
        """
        if len(self.windows) == 1:
            return self._resized(self.windows[0], rows, classes)
        # the last plane counts the windows of each pixel
        planes = len(range(self.classes)[classes]) + 1
        total = torch.zeros(
            (planes, len(rows), self.size[1]),
            dtype=self.image_dtype,
            device=self.device,
        )
        for window in self.windows:
            top, bottom = window.rows.start, window.rows.stop
            inside = ((rows >= top) & (rows < bottom)).nonzero()[:, 0]
            if len(inside):
                part = self._resized(window, rows[inside] - top, classes)
                part = torch.cat([part, torch.ones_like(part[:1])])
                total[..., window.columns].index_add_(
                    1, inside.to(self.device), part
                )
        return total[:-1].div_(total[-1])

    def _resized(self, window: Window, rows: Tensor, classes: slice) -> Tensor:
        logits = window.logits[classes]
        value = resized_rows(
            lambda rows: logits.index_select(1, rows.to(logits.device)),
            (logits.shape[1], logits.shape[2]),
            (_length(window.rows), _length(window.columns)),
            rows,
            logits.dtype,
            self.align_corners,
        )
        rounded = value.to(resized_dtype(logits.dtype, self.device))
        return rounded.to(self.image_dtype)


def _length(part: slice) -> int:
    return int(part.stop - part.start)


class View(NamedTuple):
    """How to undo padding, flip and resizing of a test image.

    Attributes:
        size (tuple[int, int]): Height and width of the original image, to
            which logits are resized last.
        padding (tuple[int, int, int, int]): Columns at the left and right,
            rows at the top and bottom, that are cut off first.
        flip (str, optional): 'horizontal' or 'vertical', undone after the
            padding. Defaults to None.

    Examples:
        >>> View(size=(512, 1024), flip='horizontal').padding
        (0, 0, 0, 0)
    """

    size: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    flip: str | None = None


@torch.no_grad()
def predicted_classes(canvas: Canvas, view: View | None = None) -> Tensor:
    """Find the most probable class of each pixel of the original image.

    Only the logits of a few rows and classes exist at a time. With ``image``
    (1, C, H, W) for the whole canvas, the result equals up to rounding::

        left, right, top, bottom = view.padding
        image = image[..., top : H - bottom, left : W - right]
        image = image.flip(3)  # for 'horizontal'
        F.interpolate(image, view.size, mode='bilinear')[0].argmax(0)

    Args:
        canvas (Canvas): The logits.
        view (View, optional): How to get back to the original image; None
            leaves the canvas as it is. Defaults to None.

    Returns:
        Tensor: (H, W) int64, the first of several equal classes.

    Raises:
        ValueError: If the view's flip is unknown.

    Examples:
        >>> logits = torch.tensor([[[0.0, 3.0]], [[1.0, 1.0]]])
        >>> window = Window(logits, slice(0, 1), slice(0, 6))
        >>> predicted_classes(Canvas([window], (1, 6)))
        tensor([[1, 1, 0, 0, 0, 0]])
    """
    if view is not None and view.flip not in (None, 'horizontal', 'vertical'):
        raise ValueError(
            "Expected flip to be None, 'horizontal' or 'vertical', but got "
            f'{view.flip!r}'
        )
    size = canvas.size if view is None else view.size
    classes = torch.empty(size, dtype=torch.int64, device=canvas.device)
    for rows in _bands(canvas, size):
        best, found = _viewed(canvas, view, rows, slice(0, _CLASSES)).max(0)
        for first in range(_CLASSES, canvas.classes, _CLASSES):
            chunk = slice(first, first + _CLASSES)
            top, index = _viewed(canvas, view, rows, chunk).max(0)
            found = torch.where(top > best, index.add_(first), found)
            best = torch.maximum(best, top)
        classes.index_copy_(0, rows.to(canvas.device), found)
    return classes


def _bands(canvas: Canvas, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Split the rows of the original image into those computed at a time."""
    piece = _PIECE_ON_CPU if canvas.device.type == 'cpu' else _PIECE_ON_GPU
    row = min(canvas.classes, _CLASSES) * max(size[1], canvas.size[1])
    return torch.split(torch.arange(size[0]), max(1, piece // row))


def _viewed(
    canvas: Canvas, view: View | None, rows: Tensor, classes: slice
) -> Tensor:
    """Compute the logits (C, R, W) of rows of the original image."""
    if view is None:
        return canvas.read(rows, classes)
    left, right, top, bottom = view.padding
    height = canvas.size[0] - top - bottom
    width = canvas.size[1] - left - right

    def read(rows: Tensor) -> Tensor:
        """Read rows without padding and flip."""
        if view.flip == 'vertical':
            rows = height - 1 - rows
        value = canvas.read(rows + top, classes)[..., left : left + width]
        return value.flip(2) if view.flip == 'horizontal' else value

    dtype = canvas.image_dtype
    value = resized_rows(
        read, (height, width), view.size, rows, dtype, canvas.align_corners
    )
    return value.to(resized_dtype(dtype, canvas.device))
