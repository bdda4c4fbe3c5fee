"""Cutting a request, and its gradient, into pieces that fit a cache."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .pieces import Chunks, Scratch
from .request import Request
from .upsampling import Bands

__all__ = ['cut', 'gradient_by_pieces']


def cut(request: Request, elements: int, scratch: Scratch) -> Chunks | Bands:
    """Cut a request into pieces of about ``elements`` logits at full size.

    Iterating over the result gives the :class:`Index` of each piece, and
    ``read(index)`` the piece. Logits smaller than the label are upsampled
    piece by piece, so that they never exist at full size.

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
    """Return the gradient of the logits, laid out and typed like them.

    ``write`` takes a piece, the slopes of its images as in a ``Reduction``,
    work buffers, and the tensor (B, C, M) to write its gradient to.
    """
    scratch = Scratch(request)
    pieces = cut(request, elements, scratch)
    result = pieces.new_gradient()
    for index in pieces:
        piece, room = pieces.read(index), pieces.room(result, index)
        out = room
        if out is None:
            out = scratch('gradient', piece.logits.shape)
        part = slopes if len(slopes) == 1 else slopes[index.images]
        write(piece, part, scratch, out)
        if room is None:
            pieces.write(result, index, out)
    return pieces.finish(result)
