"""The scores of an image, some of its pixels at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_jml.kernels import HardLabel

__all__ = [
    'SCORE_KINDS',
    'PixelChunk',
    'check_kind',
    'check_range',
    'pixel_chunks',
]

#: What the scores of an image may be.
SCORE_KINDS = ('logits', 'sigmoid', 'probabilities')
# Elements of scores in a chunk. On a CPU a chunk and its work buffers stay
# in the cache; on a GPU a launch costs more than memory.
_CHUNK_ON_CPU = 2**18
_CHUNK_ON_GPU = 2**26


def check_kind(kind: str) -> None:
    """Check the name of a kind of scores.

    Raises:
        ValueError: If ``kind`` is not one of ``SCORE_KINDS``.
    """
    if kind not in SCORE_KINDS:
        raise ValueError(
            f'Expected kind to be one of {SCORE_KINDS}, but got {kind!r}'
        )


def check_range(
    name: str, value: Tensor, counted: Tensor, num_classes: int
) -> None:
    """Check that the classes of counted pixels exist.

    Raises:
        ValueError: If the class of a counted pixel is outside [0, C); the
            message calls it ``name``.
    """
    wrong = value[counted & ((value < 0) | (value >= num_classes))]
    if wrong.numel():
        raise ValueError(
            f'Expected {name} in [0, {num_classes}) where it counts, but got '
            f'{wrong.unique()[:5].tolist()}'
        )


class PixelChunk(NamedTuple):
    """Some counted pixels of an image.

    Attributes:
        scores (Tensor): (C, n) float32 or float64.
        label (Tensor): (n,) int64 in [0, C).
        prediction (Tensor, optional): (n,) int64.
        ignored (int): Pixels that were left out.
    """

    scores: Tensor
    label: Tensor
    prediction: Tensor | None
    ignored: int


def pixel_chunks(
    scores: Tensor,
    label: Tensor,
    prediction: Tensor | None = None,
    ignore_index: int | None = 255,
) -> Iterator[PixelChunk]:
    """Cut an image into chunks of pixels, and leave out ignored ones.

    Arguments and errors are those of
    :func:`mmseg_jml.functional.confidence_sums`, which has the same defaults.

    Yields:
        PixelChunk: A chunk, on the device of ``scores``; an empty one where
        all its pixels are ignored.
    """
    classes = len(scores)
    if classes < 2 or scores.shape[1:] != label.shape or not label.numel():
        raise ValueError(
            'Expected scores (C, *) of two classes or more and label (*) of '
            f'at least one pixel, but got {tuple(scores.shape)} and '
            f'{tuple(label.shape)}'
        )
    scores = scores.reshape(classes, -1)
    label = label.reshape(-1).long()
    counted = HardLabel(label, ignore_index).counted()
    check_range('label', label, counted, classes)
    dtype = torch.promote_types(scores.dtype, torch.float32)
    elements = _CHUNK_ON_GPU if scores.is_cuda else _CHUNK_ON_CPU
    size = max(1, elements // classes)
    for start in range(0, len(label), size):
        part = slice(start, start + size)
        kept = counted[part]
        values = [scores[:, part].to(dtype), label[part]]
        if prediction is not None:
            values.append(prediction.reshape(-1)[part].long())
        if not kept.all():
            place = kept.nonzero()[:, 0]
            values = [value.index_select(-1, place) for value in values]
        chunk, own, *winner = values
        ignored = len(kept) - len(own)
        yield PixelChunk(chunk, own, winner[0] if winner else None, ignored)
