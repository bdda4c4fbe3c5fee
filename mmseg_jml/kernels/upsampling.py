"""Bilinear interpolation in pieces, and its transpose for the gradient.

Logits that are smaller than the label never exist at full size.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .pieces import Index, Scratch, indices, without_size
from .request import Request

__all__ = ['Axis', 'Bands', 'axis']


class Axis(NamedTuple):
    """How one axis of n inputs is resized to m outputs.

    Output d lies at s = (d + 1/2) n / m - 1/2 on the inputs, or at
    d (n - 1) / (m - 1) with aligned corners, between the inputs i = floor(s)
    and i + 1. As i goes from -1 to n - 1, there are n + 1 intervals between
    inputs, numbered by i + 1; the outputs of an interval are a run of S at
    most. Beyond the ends the outermost inputs repeat.

    Attributes:
        position (Tensor): (n + 1, S) int64, the outputs of each interval.
        inside (Tensor): (n + 1, S) bool, False where an interval has fewer
            outputs; ``position`` is then any output.
        share (Tensor): (n + 1, S), s - i, the share of input i + 1.
        first (Tensor): (n + 2,) int64, the first output of each interval, and
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
    """Compute how an axis is resized, at the positions of ``F.interpolate``.

    Raises:
        ValueError: If there are fewer outputs than inputs.

    Examples:
        Two inputs and four outputs, at -1/4, 1/4, 3/4 and 5/4:

        >>> table = axis(2, 4, False, torch.float32, torch.device('cpu'))
        >>> table.interval.tolist(), table.first.tolist()
        ([0, 1, 1, 2], [0, 1, 3, 4])
        >>> table.share.tolist()
        [[0.75, 0.0], [0.25, 0.75], [0.25, 0.0]]
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

    The pixels of a row are in the order of phases, not of columns: first
    output 0 of every interval, then output 1 of every interval, and so on. So
    a phase is one multiply-add of whole rows, and so is its transpose.
    """

    def __init__(
        self, request: Request, elements: int, scratch: Scratch
    ) -> None:
        if request.logits.ndim != 4:
            raise ValueError(
                'Expected logits of shape (N, C, h, w) where they are smaller '
                'than the label, but got shape '
                f'{tuple(request.logits.shape)}'
            )
        self._request, self._size = without_size(request), request.size
        self._elements, self._scratch = elements, scratch
        self._aligned = bool(request.align_corners)
        self._rows, self._columns = self._axes(request.logits, self._aligned)

    def _axes(self, value: Tensor, align_corners: bool) -> list[Axis]:
        dtype, device = self._request.dtype, value.device
        return [
            axis(n, m, align_corners, dtype, device)
            for n, m in zip(value.shape[2:], self._size)
        ]

    def __iter__(self) -> Iterator[Index]:
        """Yield where each piece lies; ``rows`` are intervals."""
        images, classes = self._request.logits.shape[:2]
        rows, columns = self._rows.share, self._columns.share
        per_image = classes * rows.numel() * columns.numel()
        return indices(images, len(rows), per_image, self._elements)

    def read(self, index: Index) -> Request:
        """Return the piece at an index."""
        request, inside = self._request, self._inside(index)
        small = {'logits': request.logits}
        parts: dict[str, Tensor | None] = {}
        for name, value in request.tensors().items():
            if value is None or name in ('logits', 'class_weight'):
                continue
            if value.shape[-2:] == self._size:
                parts[name] = self._pick(value[index.images], index)
            else:
                small[name] = value
        # places without an output get no class, or weight 0
        label, weight = parts.get('label'), parts.get('weight')
        if label is not None:
            parts['label'] = label.masked_fill(~inside, -1)
        elif weight is not None:
            parts['weight'] = weight * inside
        else:
            images = len(request.logits[index.images])
            parts['weight'] = inside.to(request.dtype).expand(images, -1)
        for name, value in small.items():
            parts[name] = self._upsample(value, index, name)
        return request.with_tensors(parts)

    def new_gradient(self) -> Tensor:
        """Return room for the gradient, with a border of repeated inputs."""
        images, classes, rows, columns = self._request.logits.shape
        return self._request.logits.new_zeros(
            images, classes, rows + 2, columns + 2, dtype=self._request.dtype
        )

    def room(self, gradient: Tensor, index: Index) -> None:
        """Return None: the gradient of a piece has another size."""

    def write(self, gradient: Tensor, index: Index, value: Tensor) -> None:
        """Add the gradient of a piece, (B, C, M), which is overwritten."""
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
        """Return the gradient of the logits, laid out and typed like them."""
        for dim in (2, 3):
            size = gradient.shape[dim]
            for border, inner in ((0, 1), (size - 1, size - 2)):
                gradient.select(dim, inner).add_(gradient.select(dim, border))
        result = torch.empty_like(self._request.logits)
        return result.copy_(gradient[:, :, 1:-1, 1:-1])

    def _upsample(self, value: Tensor, index: Index, name: str) -> Tensor:
        """Upsample the student's or a teacher's logits to (B, C, M)."""
        aligned = self._aligned
        if name == 'value':
            aligned = bool(getattr(self._request.target, 'align_corners', 0))
        low = value[index.images].to(self._request.dtype)
        if (value.shape[2:], aligned) == (
            self._request.logits.shape[2:],
            self._aligned,
        ):
            return self._interpolate(low, index, name)
        return self._gather(low, index, self._axes(value, aligned))

    def _interpolate(self, low: Tensor, index: Index, name: str) -> Tensor:
        """Upsample values of the logits' size, by whole rows."""
        start, stop = index.rows.start, index.rows.stop
        rows = torch.arange(start - 1, stop, device=low.device)
        low = low.index_select(2, rows.clamp(0, low.shape[2] - 1))
        low = F.pad(low, (1, 1, 0, 0), mode='replicate')
        share = self._rows.share[index.rows][:, :, None]
        above = low[:, :, :-1, None]
        low = torch.addcmul(above, low[:, :, 1:, None] - above, share)
        left = low[..., None, :-1]
        step = low[..., None, 1:] - left
        columns = self._columns.share.T
        shape = torch.Size((*left.shape[:4], *columns.shape))
        out = self._scratch(name, shape)
        return torch.addcmul(left, step, columns, out=out).flatten(2)

    def _gather(self, value: Tensor, index: Index, axes: list[Axis]) -> Tensor:
        """Upsample values of another size, pixel by pixel."""
        positions = self._positions(index)
        for dim, table, place in zip((2, 3), axes, positions):
            interval = table.interval[place]
            share = table.share[interval, place - table.first[interval]]
            last = value.shape[dim] - 1
            first = value.index_select(dim, (interval - 1).clamp(0, last))
            step = value.index_select(dim, interval.clamp(0, last)) - first
            if dim == 2:
                share = share.unsqueeze(1)
            value = torch.addcmul(first, step, share)
        return value.flatten(2)

    def _positions(self, index: Index) -> tuple[Tensor, Tensor]:
        """Return the rows and columns of a band's pixels, in its order."""
        rows = self._rows.position[index.rows].flatten()
        return rows, self._columns.position.T.flatten()

    def _pick(self, value: Tensor, index: Index) -> Tensor:
        """Return pixels of full-size values in a band's order, (..., M)."""
        rows, columns = self._positions(index)
        value = value.index_select(-2, rows).index_select(-1, columns)
        return value.flatten(-2)

    def _inside(self, index: Index) -> Tensor:
        """Find the pixels of a band that exist, (M,) bool."""
        rows = self._rows.inside[index.rows].flatten().unsqueeze(1)
        return (rows & self._columns.inside.T.flatten()).flatten()
