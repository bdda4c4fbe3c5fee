"""Pieces of a request that fit a cache, and work buffers.

A piece is a request of its own, with its pixels in one dimension: logits of
shape (B, C, M).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from .request import Request
from .targets import TeacherLogits

__all__ = ['Chunks', 'Index', 'Scratch', 'indices', 'without_size']


class Index(NamedTuple):
    """Where a piece lies in its batch: images, and rows or pixels."""

    images: slice
    rows: slice


def indices(
    images: int, rows: int, per_image: int, elements: int
) -> Iterator[Index]:
    """Yield pieces of about ``elements``: some images, or part of one."""
    if images * per_image == 0:
        return
    together = max(1, elements // per_image)
    step = -(-rows // -(-per_image // max(elements, 1)))
    for image in range(0, images, together):
        for row in range(0, rows, step):
            yield Index(
                slice(image, image + together),
                slice(row, min(row + step, rows)),
            )


class Scratch:
    """Work buffers that all pieces share, since fresh memory is slow."""

    def __init__(self, request: Request) -> None:
        self._dtype, self._device = request.dtype, request.logits.device
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: torch.Size) -> Tensor:
        """Return an uninitialised tensor; one name has one memory."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < shape.numel():
            buffer = torch.empty(shape, dtype=self._dtype, device=self._device)
            self._buffers[name] = buffer
        if buffer.shape == shape:
            return buffer
        return buffer.flatten()[: shape.numel()].view(shape)


class Chunks:
    """Pieces of logits of full size: views, where the layout permits."""

    def __init__(self, request: Request, elements: int) -> None:
        self._request, self._elements = without_size(request), elements
        self._tensors = {
            name: value
            for name, value in request.tensors().items()
            if value is not None and name != 'class_weight'
        }
        # If the pixels of one tensor are not evenly spaced in memory, all are
        # cut by rows, and a piece of that tensor is a small copy.
        self._dims = request.logits.ndim - 2
        flat = {
            name: view
            for name, value in self._tensors.items()
            if (view := _flat(value, self._dims)) is not None
        }
        if len(flat) == len(self._tensors):
            self._tensors, self._dims = flat, 1

    def __iter__(self) -> Iterator[Index]:
        """Yield where each piece lies; ``rows`` may count single pixels."""
        images, classes, *space = self._tensors['logits'].shape
        pixels = torch.Size(space).numel()
        return indices(images, space[0], classes * pixels, self._elements)

    def read(self, index: Index) -> Request:
        """Return the piece at an index."""
        return self._request.with_tensors(
            {
                name: self._block(value, index).flatten(-self._dims)
                for name, value in self._tensors.items()
            }
        )

    def new_gradient(self) -> Tensor:
        """Return room for the gradient of the logits."""
        gradient = torch.empty_like(self._request.logits)
        return gradient.view(self._tensors['logits'].shape)

    def room(self, gradient: Tensor, index: Index) -> Tensor | None:
        """Return the part (B, C, M) to write to directly, if it allows it."""
        block = self._block(gradient, index)
        fits = block.ndim == 3 and block.stride(2) == 1
        return block if fits and block.dtype == self._request.dtype else None

    def write(self, gradient: Tensor, index: Index, value: Tensor) -> None:
        """Copy the gradient of a piece that had no :meth:`room`."""
        block = self._block(gradient, index)
        block.copy_(value.view(block.shape))

    def finish(self, gradient: Tensor) -> Tensor:
        """Return the gradient of the logits, once all is written."""
        return gradient.view(self._request.logits.shape)

    def _block(self, value: Tensor, index: Index) -> Tensor:
        """View the part of (N, *) or (N, C, *) ``value`` at an index."""
        if index.images.stop < len(value) or index.images.start:
            value = value[index.images]
        rows = value.ndim - self._dims
        if index.rows.stop < value.shape[rows] or index.rows.start:
            value = value[(slice(None),) * rows + (index.rows,)]
        return value


def _flat(value: Tensor, dims: int) -> Tensor | None:
    """View the last dimensions as one; None if that takes a copy."""
    first = value.ndim - dims
    pixels = value.shape[first:].numel()
    try:
        return value.view(*value.shape[:first], pixels)
    except RuntimeError:
        return None


def without_size(request: Request) -> Request:
    """Drop a teacher's ``size``: pieces hold its logits at full size."""
    target = request.target
    if isinstance(target, TeacherLogits) and target.size is not None:
        return replace(request, target=replace(target, size=None))
    return request
