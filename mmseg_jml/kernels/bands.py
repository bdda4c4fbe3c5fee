"""Cutting a request into pieces that fit a cache.

A piece is a request of its own, with its pixels in one dimension: logits of
shape (B, C, M). Logits that are smaller than the label are upsampled piece by
piece, so that they never exist at full size, and the gradient of a piece goes
back through the transposed interpolation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .request import HardLabel, Probabilities, Request, TeacherLogits

__all__ = [
    'Axis',
    'Bands',
    'Chunks',
    'Index',
    'Scratch',
    'axis',
    'cut',
    'gradient_by_pieces',
]


class Index(NamedTuple):
    """Where a piece lies in its batch: images, and rows or pixels."""

    images: slice
    rows: slice


class Scratch:
    """Work buffers that all pieces share, since fresh memory is slow."""

    def __init__(self, request: Request) -> None:
        self._dtype, self._device = request.dtype, request.logits.device
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: torch.Size) -> Tensor:
        """An uninitialised tensor; the same memory for the same name."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < shape.numel():
            buffer = torch.empty(shape, dtype=self._dtype, device=self._device)
            self._buffers[name] = buffer
        if buffer.shape == shape:
            return buffer
        return buffer.flatten()[: shape.numel()].view(shape)


def cut(request: Request, elements: int, scratch: Scratch) -> Chunks | Bands:
    """Pieces of about ``elements`` logits at full size.

    Iterating gives the :class:`Index` of each piece, and ``read(index)`` the
    piece. For a gradient: ``new_gradient()``, then ``write(gradient, index,
    value)`` for each piece, then ``finish(gradient)``.

    Raises:
        ValueError: If the logits are larger than the label.
    """
    if request.is_upsampled:
        return Bands(request, elements, scratch)
    return Chunks(request, elements)


def gradient_by_pieces(
    request: Request,
    slopes: Tensor,
    elements: int,
    write: Callable[[Request, Tensor, Scratch, Tensor], None],
) -> Tensor:
    """The gradient of the logits, piece by piece.

    Args:
        request (Request): What the gradient belongs to.
        slopes (Tensor): (N or 1, 3 or 4, C), handed on.
        elements (int): As for :func:`cut`.
        write (Callable): Takes a piece, the slopes of its images, room to
            work in, and where to write the gradient of the piece, (B, C, M).

    Returns:
        Tensor: (N, C, *), laid out and typed like the logits.
    """
    scratch = Scratch(request)
    pieces = cut(request, elements, scratch)
    result = pieces.new_gradient()
    for index in pieces:
        piece, out = pieces.read(index), pieces.room(result, index)
        has_room = out is not None
        if not has_room:
            out = scratch('gradient', piece.logits.shape)
        part = slopes if len(slopes) == 1 else slopes[index.images]
        write(piece, part, scratch, out)
        if not has_room:
            pieces.write(result, index, out)
    return pieces.finish(result)


class Chunks:
    """Pieces of logits of full size: views, where the layout permits."""

    def __init__(self, request: Request, elements: int) -> None:
        if getattr(request.target, 'size', None) is not None:
            target = replace(request.target, size=None)
            request = replace(request, target=target)
        self._request = request
        self._tensors = {
            name: value
            for name, value in request.tensors().items()
            if value is not None and name != 'class_weight'
        }
        self._elements = elements
        # Where one tensor's pixels are no even sequence in memory, all are
        # cut by rows, and a piece of that tensor is a small copy.
        self._even = all(map(self._is_even, self._tensors.values()))

    def is_whole(self, index: Index) -> bool:
        """Whether a piece is everything."""
        images, _, *space = self._request.logits.shape
        rows = torch.Size(space).numel() if self._even else space[0]
        first = index.images.start == 0 and index.images.stop >= images
        return first and index.rows == slice(0, rows)

    def __iter__(self) -> Iterator[Index]:
        """Where each piece lies."""
        images, classes, *space = self._request.logits.shape
        pixels = torch.Size(space).numel()
        if images * pixels == 0:
            return
        rows = pixels if self._even else space[0]
        together = max(1, self._elements // (classes * pixels))
        step = -(-rows // -(-classes * pixels // self._elements))
        for image in range(0, images, together):
            for row in range(0, rows, step):
                yield Index(
                    slice(image, image + together), slice(row, row + step)
                )

    def read(self, index: Index) -> Request:
        """The piece that lies there."""
        parts = {
            name: self.block(value, index).flatten(self._first(value))
            for name, value in self._tensors.items()
        }
        return self._request.with_tensors(parts)

    def new_gradient(self) -> Tensor:
        """Room for the gradient of the logits."""
        return torch.empty_like(self._request.logits)

    def room(self, gradient: Tensor, index: Index) -> Tensor | None:
        """Where the gradient of a piece, (B, C, M), can be written at once."""
        block = self.block(gradient, index)
        fits = block.ndim == 3 and block.stride(2) == 1
        return block if fits and block.dtype == self._request.dtype else None

    def write(self, gradient: Tensor, index: Index, value: Tensor) -> None:
        """Copy the gradient of a piece that had no room."""
        block = self.block(gradient, index)
        block.copy_(value.view(block.shape))

    def finish(self, gradient: Tensor) -> Tensor:
        """The gradient of the logits."""
        return gradient

    def block(self, value: Tensor, index: Index) -> Tensor:
        """The part of (N, *) or (N, C, *) ``value`` there, as a view."""
        first = self._first(value)
        if self._even:
            value = self._evenly(value)
        if index.images.stop < len(value) or index.images.start:
            value = value[index.images]
        if index.rows.stop < value.shape[first] or index.rows.start:
            value = value[(slice(None),) * first + (index.rows,)]
        return value

    def _first(self, value: Tensor) -> int:
        """The first dimension of pixels."""
        return value.ndim - self._request.logits.ndim + 2

    def _evenly(self, value: Tensor) -> Tensor:
        """All pixels in one dimension, without a copy."""
        first = self._first(value)
        if value.ndim == first + 1:
            return value
        return value.view(*value.shape[:first], value.shape[first:].numel())

    def _is_even(self, value: Tensor) -> bool:
        """Whether :meth:`_evenly` needs no copy."""
        first = self._first(value)
        axes = [
            axis
            for axis in zip(value.shape[first:], value.stride()[first:])
            if axis[0] != 1
        ]
        return all(
            outer == size * stride
            for (_, outer), (size, stride) in zip(axes, axes[1:])
        )


class Axis(NamedTuple):
    """How one axis of n inputs is resized to m outputs.

    Output d lies at s = (d + 1/2) n / m - 1/2 on the inputs, or at
    d (n - 1) / (m - 1) with aligned corners, between the inputs i = floor(s)
    and i + 1. Outputs of one i, from -1 to n - 1, are a run of S at most:
    interval i + 1 of n + 1. Beyond the ends the outermost inputs repeat.

    Attributes:
        position (Tensor): (n + 1, S) int64, the outputs of each interval.
        inside (Tensor): (n + 1, S) bool, whether there is such an output; if
            not, ``position`` is some other one.
        share (Tensor): (n + 1, S), s - i, the share of input i + 1.
        first (Tensor): (n + 2,) int64, where the run of an interval begins;
            m at the end.
        interval (Tensor): (m,) int64, the interval of each output.
    """

    position: Tensor
    inside: Tensor
    share: Tensor
    first: Tensor
    interval: Tensor


@functools.lru_cache(maxsize=64)
def axis(
    inputs: int,
    outputs: int,
    align_corners: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Axis:
    """The table of an axis; ``F.interpolate`` computes the same positions.

    Raises:
        ValueError: If there are fewer outputs than inputs.
    """
    if outputs < inputs:
        raise ValueError(
            'Expected logits no larger than the label, but got '
            f'{inputs} logits for {outputs} labels along one axis; resize '
            'the logits to the size of the label first'
        )
    d = torch.arange(outputs, dtype=torch.float64)
    if align_corners:
        source = d * ((inputs - 1) / max(outputs - 1, 1))
    else:
        source = (d + 0.5) * (inputs / outputs) - 0.5
    interval = source.floor().long().clamp(-1, inputs - 1) + 1
    length = torch.bincount(interval, minlength=inputs + 1)
    first = F.pad(length.cumsum(0), (1, 0))
    phase = torch.arange(int(length.max()))
    position = first[:-1].unsqueeze(1) + phase
    inside = phase < length.unsqueeze(1)
    position = position.where(inside, torch.zeros_like(position))
    share = source[position] + 1 - torch.arange(inputs + 1).unsqueeze(1)
    share = share.where(inside, torch.zeros_like(share))
    values = position, inside, share.to(dtype), first, interval
    return Axis(*(value.to(device) for value in values))


class Bands:
    """Pieces of upsampled logits: the rows of some intervals.

    The pixels of a row lie by phase, not by column: first output 0 of every
    interval, then output 1, and so on. Interpolating is then one multiply-add
    of whole rows, and so is the way back.
    """

    def __init__(
        self, request: Request, elements: int, scratch: Scratch
    ) -> None:
        self._request, self._scratch = request, scratch
        self._rows, self._columns = self._axes(request.align_corners)
        self._elements = elements

    def _axes(self, align_corners: bool) -> tuple[Axis, Axis]:
        logits = self._request.logits
        if logits.ndim != 4:
            raise ValueError(
                'Expected logits of shape (N, C, h, w) where they are smaller '
                f'than the label, but got shape {tuple(logits.shape)}'
            )
        return tuple(
            axis(n, m, bool(align_corners), self._request.dtype, logits.device)
            for n, m in zip(logits.shape[2:], self._request.size)
        )

    def is_whole(self, index: Index) -> bool:
        """Never: the gradient of any piece has to go back."""
        return False

    def __iter__(self) -> Iterator[Index]:
        """Where each piece lies; ``rows`` are intervals."""
        images, classes = self._request.logits.shape[:2]
        interval = classes * self._columns.share.numel()
        interval *= self._rows.share.shape[1]
        intervals = len(self._rows.share)
        if images * classes == 0:
            return
        together = max(1, self._elements // (interval * intervals))
        step = max(1, self._elements // interval)
        for image in range(0, images, together):
            for row in range(0, intervals, step):
                yield Index(
                    slice(image, image + together),
                    slice(row, min(row + step, intervals)),
                )

    def read(self, index: Index) -> Request:
        """The piece that lies there."""
        request = self._request
        inside = self._inside(index)
        weight = request.weight
        if weight is not None:
            weight = self._pick(weight[index.images], index).flatten(1)
        if isinstance(request.target, HardLabel):
            target = self._hard(request.target, index, inside)
        else:
            target = self._soft(request.target, index)
            if weight is None:
                images = len(request.logits[index.images])
                weight = inside.to(request.dtype).expand(images, -1)
            else:
                weight = weight * inside
        logits = self._upsample(request.logits, index, 'logits')
        return replace(request, logits=logits, target=target, weight=weight)

    def new_gradient(self) -> Tensor:
        """Room for the gradient, with a border of repeated inputs."""
        images, classes, rows, columns = self._request.logits.shape
        return self._request.logits.new_zeros(
            images, classes, rows + 2, columns + 2, dtype=self._request.dtype
        )

    def room(self, gradient: Tensor, index: Index) -> None:
        """There is none: the gradient of a piece has another size."""

    def write(self, gradient: Tensor, index: Index, value: Tensor) -> None:
        """Adds the gradient of a piece, (B, C, M), which is overwritten."""
        rows = self._rows.share[index.rows]
        phases, columns = self._columns.share.T.shape
        value = value.view(*value.shape[:2], *rows.shape, phases, columns)
        total = value.sum(4)
        right = value.mul_(self._columns.share.T).sum(4)
        total -= right
        value = F.pad(total, (0, 1))
        value[..., 1:] += right
        total = value.sum(3)
        below = value.mul_(rows[:, :, None]).sum(3)
        start, stop = index.rows.start, index.rows.stop
        block = gradient[index.images]
        block[:, :, start:stop] += total.sub_(below)
        block[:, :, start + 1 : stop + 1] += below

    def finish(self, gradient: Tensor) -> Tensor:
        """The gradient of the logits, laid out and typed like them."""
        for dim in (2, 3):
            size = gradient.shape[dim]
            for border, inner in ((0, 1), (size - 1, size - 2)):
                gradient.select(dim, inner).add_(gradient.select(dim, border))
        result = torch.empty_like(self._request.logits)
        return result.copy_(gradient[:, :, 1:-1, 1:-1])

    def _upsample(self, value: Tensor, index: Index, name: str) -> Tensor:
        """(B, C, M) of one sort of logits, in the working dtype."""
        start, stop = index.rows.start, index.rows.stop
        low = value[index.images].to(self._request.dtype)
        rows = torch.arange(start - 1, stop, device=value.device)
        rows = rows.clamp(0, value.shape[2] - 1)
        low = low.index_select(2, rows)
        low = F.pad(low, (1, 1, 0, 0), mode='replicate')
        share = self._rows.share[index.rows][:, :, None]
        above = low[:, :, :-1, None]
        low = torch.addcmul(above, low[:, :, 1:, None] - above, share)
        left = low[..., None, :-1]
        step = low[..., None, 1:] - left
        columns = self._columns.share.T
        shape = (*left.shape[:4], *columns.shape)
        out = self._scratch(name, torch.Size(shape))
        torch.addcmul(left, step, columns, out=out)
        return out.flatten(2)

    def _hard(
        self, target: HardLabel, index: Index, inside: Tensor
    ) -> HardLabel:
        label = self._pick(target.label[index.images], index).flatten(1)
        # a label that is no class does not count
        label = label.masked_fill(~inside, -1)
        smoothed = target.smoothed
        if smoothed is not None:
            smoothed = self._pick(smoothed[index.images], index).flatten(1)
        window = target.window
        if window is not None:
            window = self._pick(window[index.images], index).flatten(3)
        return replace(target, label=label, smoothed=smoothed, window=window)

    def _soft(
        self, target: Probabilities | TeacherLogits, index: Index
    ) -> Probabilities | TeacherLogits:
        logits, value = self._request.logits, target.value
        if value.shape[2:] == self._request.size:
            value = self._pick(value[index.images], index).flatten(2)
            sized = getattr(target, 'size', None) is not None
            size = {'size': value.shape[2:]} if sized else {}
            return replace(target, value=value, **size)
        aligned = target.align_corners
        if (
            value.shape[2:] == logits.shape[2:]
            and aligned == self._request.align_corners
        ):
            value = self._upsample(value, index, 'teacher')
        else:
            value = self._upsample_elsewhere(value[index.images], index)
        return replace(target, value=value, size=value.shape[2:])

    def _upsample_elsewhere(self, value: Tensor, index: Index) -> Tensor:
        """Logits of another size at the pixels of a band, by gathering."""
        aligned = self._request.target.align_corners
        value = value.to(self._request.dtype)
        for dim, positions in zip((2, 3), self._positions(index)):
            table = axis(
                value.shape[dim],
                self._request.size[dim - 2],
                aligned,
                value.dtype,
                value.device,
            )
            interval = table.interval[positions]
            share = table.share[interval, positions - table.first[interval]]
            low = interval - 1
            last = value.shape[dim] - 1
            first = value.index_select(dim, low.clamp(0, last))
            step = value.index_select(dim, (low + 1).clamp(0, last)) - first
            if dim == 2:
                share = share.unsqueeze(1)
            value = torch.addcmul(first, step, share)
        return value.flatten(2)

    def _positions(self, index: Index) -> tuple[Tensor, Tensor]:
        """Rows and columns of a band's pixels, in its order."""
        rows = self._rows.position[index.rows].flatten()
        return rows, self._columns.position.T.flatten()

    def _pick(self, value: Tensor, index: Index) -> Tensor:
        """Pixels of full-size values in the order of a band."""
        rows, columns = self._positions(index)
        return value.index_select(-2, rows).index_select(-1, columns)

    def _inside(self, index: Index) -> Tensor:
        """(M,) bool: the pixels of a band that exist."""
        rows = self._rows.inside[index.rows].flatten().unsqueeze(1)
        return (rows & self._columns.inside.T.flatten()).flatten()
