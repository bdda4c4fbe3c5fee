"""Cutting images into chunks of pixels that stay in a processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from .reference import working_dtype
from .targets import Target, tensors_of

__all__ = ['Batch', 'Chunk', 'Index', 'Scratch']

# Elements of all work buffers of a chunk together. On a CPU they fit into the
# cache, and are large enough to hide what a call costs; on a GPU a launch
# costs more.
_WORK_ON_CPU = 2**20
_WORK_ON_GPU = 2**23


class Index(NamedTuple):
    """Where a chunk lies in its batch: images, and rows or pixels."""

    images: slice
    rows: slice


class Chunk(NamedTuple):
    """Some pixels of some images, with the pixels in one dimension.

    Attributes:
        logits (Tensor): (B, C, M), a view where the layout permits.
        target (Target): Of the same pixels, (B, M) or (B, C, M).
        weight (Tensor, optional): (B, M), in the dtype to compute in.
        class_weight (Tensor, optional): (C,).
    """

    logits: Tensor
    target: Target
    weight: Tensor | None
    class_weight: Tensor | None


class Batch:
    """The tensors of a call, and how to cut them.

    Args:
        logits (Tensor): (N, C, *).
        target (Target): The label.
        weight (Tensor, optional): (N, *).
        class_weight (Tensor, optional): (C,).
        buffers (int): How many tensors of its size work on a chunk needs.
    """

    def __init__(
        self,
        logits: Tensor,
        target: Target,
        weight: Tensor | None,
        class_weight: Tensor | None,
        buffers: int,
    ) -> None:
        self._tensors = {'logits': logits, **tensors_of(target)}
        if weight is not None:
            self._tensors['weight'] = weight
        self._target = target
        self._class_weight = (
            None
            if class_weight is None
            else class_weight.to(logits.device, working_dtype(logits))
        )
        self._ndim = logits.ndim
        work = _WORK_ON_CPU if logits.device.type == 'cpu' else _WORK_ON_GPU
        self._limit = work // buffers
        # Where one tensor's pixels are no even sequence in memory, all are
        # cut by rows, and a chunk of that tensor is a small copy.
        self._even = all(map(self._is_even, self._tensors.values()))

    def __iter__(self) -> Iterator[Index]:
        """Where each chunk lies."""
        logits = self._tensors['logits']
        images, classes, *spatial = logits.shape
        pixels = torch.Size(spatial).numel()
        if images * pixels == 0:
            return
        rows = pixels if self._even else spatial[0]
        together = max(1, self._limit // (classes * pixels))
        step = -(-rows // -(-classes * pixels // self._limit))
        for image in range(0, images, together):
            for row in range(0, rows, step):
                yield Index(
                    slice(image, image + together), slice(row, row + step)
                )

    def __getitem__(self, index: Index) -> Chunk:
        """The chunk that lies there."""
        parts = {
            name: self.block(value, index).flatten(self._first(value))
            for name, value in self._tensors.items()
        }
        logits, weight = parts.pop('logits'), parts.pop('weight', None)
        if weight is not None:
            weight = weight.to(working_dtype(logits))
        target = replace(self._target, **parts)
        return Chunk(logits, target, weight, self._class_weight)

    def block(self, value: Tensor, index: Index) -> Tensor:
        """The part of (N, *) or (N, C, *) ``value`` there, as a view."""
        channels = (slice(None),) * (self._first(value) - 1)
        if self._even:
            value = self._evenly(value)
        return value[(index.images, *channels, index.rows)]

    def _first(self, value: Tensor) -> int:
        """The first dimension of pixels."""
        return value.ndim - self._ndim + 2

    def _evenly(self, value: Tensor) -> Tensor:
        """All pixels in one dimension, without a copy."""
        first = self._first(value)
        return value.view(*value.shape[:first], value.shape[first:].numel())

    def _is_even(self, value: Tensor) -> bool:
        try:
            self._evenly(value)
        except RuntimeError:
            return False
        return True


class Scratch:
    """Work buffers that all chunks share, since fresh memory is slow.

    Args:
        logits (Tensor): Gives the device, and the dtype to compute in.
    """

    def __init__(self, logits: Tensor) -> None:
        self.dtype = working_dtype(logits)
        self._device = logits.device
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: torch.Size) -> Tensor:
        """An uninitialised tensor; the same memory for the same name."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < shape.numel():
            buffer = torch.empty(
                shape.numel(), dtype=self.dtype, device=self._device
            )
            self._buffers[name] = buffer
        return buffer[: shape.numel()].view(shape)
