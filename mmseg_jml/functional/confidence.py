"""Sums over pixels by their confidence, in one pass over the scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .fine_grained_iou import check_range

__all__ = [
    'KINDS',
    'ConfidenceSums',
    'PixelChunk',
    'confidence_sums',
    'pixel_chunks',
]

KINDS = ('logits', 'sigmoid', 'probabilities')
# Elements of scores in a chunk. On a CPU a chunk and its work buffers stay
# in the cache; on a GPU a launch costs more than memory.
_CHUNK_ON_CPU = 2**18
_CHUNK_ON_GPU = 2**26
# log(p / (1 - p)) of the float32 numbers next to 0.0000001 and 1
_HIGHEST_LOG_ODDS = 16.0


class ConfidenceSums(NamedTuple):
    """Sums over the counted pixels of an image or, added up, of many.

    Bins are stored as (3, B): the number of pixels, the sum of their
    confidences, the number of hits.

    Attributes:
        top (Tensor): (3, B), by the probability of the predicted class; a
            hit is a pixel that is labelled so.
        classes (Tensor): (C, 3, B), by the probability of each class.
        labelled (Tensor): (C,), pixels labelled so.
        ignored (Tensor): Scalar, pixels that do not count.
        nll (Tensor): Scalar, sum of the negative log-likelihoods.
        brier (Tensor): Scalar, sum of the squared distances between the
            probabilities and the one-hot label.
    """

    top: Tensor
    classes: Tensor
    labelled: Tensor
    ignored: Tensor
    nll: Tensor
    brier: Tensor

    def plus(self, other: ConfidenceSums) -> ConfidenceSums:
        """The sums over the pixels of both.

        Args:
            other (ConfidenceSums): Sums made with the same arguments.

        Returns:
            ConfidenceSums: Their sum.
        """
        return ConfidenceSums(*(a + b for a, b in zip(self, other)))


def confidence_sums(
    scores: Tensor,
    label: Tensor,
    prediction: Tensor | None = None,
    *,
    kind: str = 'logits',
    temperature: float = 1.0,
    num_bins: int = 10,
    log_odds: bool = False,
    argmax_hits: bool = False,
    ignore_index: int | None = 255,
) -> ConfidenceSums:
    """Sums of one image's pixels by their confidence.

    Probabilities, bins, NLL and Brier score come from one pass over chunks
    of pixels, so that nothing of the size of the image is made.
    Probabilities are float32 at least, sums float64.

    Args:
        scores (Tensor): (C, *) floats.
        label (Tensor): (*) integers in [0, C), or ``ignore_index``.
        prediction (Tensor, optional): (*) integers in [0, C). None takes the
            arg-max of ``scores``, which is slower. Defaults to None.
        kind (str): What ``scores`` are. 'logits': of a softmax over classes.
            'sigmoid': logits of one sigmoid per class, whose NLL is the sum
            of the binary ones. 'probabilities': numbers >= 0, which are
            divided by their sum. Defaults to 'logits'.
        temperature (float): Divides the logits; of probabilities, their
            logarithms. Defaults to 1.0.
        num_bins (int): B. Defaults to 10.
        log_odds (bool): Whether bins are of equal width in log(p / (1 - p)),
            from -16 to 16, in place of equal width in p. Defaults to False.
        argmax_hits (bool): Whether a pixel is a hit of its label's class only
            where that class is predicted too. Defaults to False.
        ignore_index (int, optional): Label of pixels that do not count.
            Defaults to 255.

    Returns:
        ConfidenceSums: float64, on the device of ``scores``.

    Raises:
        ValueError: If ``kind`` or a shape does not fit, or a counted label
            or score is out of range.

    Examples:
        >>> scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]])
        >>> sums = confidence_sums(
        ...     scores, torch.tensor([0, 0]), kind='probabilities', num_bins=2
        ... )
        >>> sums.top
        tensor([[0.0000, 2.0000],
                [0.0000, 1.7000],
                [0.0000, 1.0000]], dtype=torch.float64)
    """
    if kind not in KINDS:
        raise ValueError(
            f'Expected kind to be one of {KINDS}, but got {kind!r}'
        )
    total = None
    for chunk in pixel_chunks(scores, label, prediction, ignore_index):
        prob, nll = _probabilities(chunk, kind, temperature)
        bins = (chunk.counted, num_bins, log_odds)
        sums = _sum_chunk(chunk, prob, nll, argmax_hits, bins)
        total = sums if total is None else total.plus(sums)
    if total.nll.isnan():
        raise ValueError('Expected scores to be numbers, but got NaN or inf')
    return total


class PixelChunk(NamedTuple):
    """Some pixels of an image.

    Attributes:
        scores (Tensor): (C, n) float32 or float64; 1 where ignored.
        label (Tensor): (n,) int64, 0 where ignored.
        prediction (Tensor, optional): (n,) int64.
        counted (Tensor): (n,) bool.
    """

    scores: Tensor
    label: Tensor
    prediction: Tensor | None
    counted: Tensor


def pixel_chunks(
    scores: Tensor,
    label: Tensor,
    prediction: Tensor | None = None,
    ignore_index: int | None = 255,
) -> Iterator[PixelChunk]:
    """Cuts an image into chunks of pixels.

    Args:
        scores (Tensor): (C, *) floats.
        label (Tensor): (*) integers in [0, C), or ``ignore_index``.
        prediction (Tensor, optional): (*) integers in [0, C). Defaults to
            None.
        ignore_index (int, optional): Label of pixels that do not count.
            Defaults to 255.

    Yields:
        PixelChunk: A chunk, on the device of ``scores``.

    Raises:
        ValueError: If a shape or a counted label does not fit.
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
    counted = torch.ones_like(label, dtype=torch.bool)
    if ignore_index is not None:
        counted = label != ignore_index
    check_range('label', label, counted, classes)
    elements = _CHUNK_ON_GPU if scores.is_cuda else _CHUNK_ON_CPU
    size = max(1, elements // classes)
    for start in range(0, len(label), size):
        part = slice(start, start + size)
        chunk = scores[:, part].to(
            torch.promote_types(scores.dtype, torch.float32)
        )
        if not counted[part].all():
            chunk = torch.where(counted[part], chunk, 1)
        yield PixelChunk(
            chunk,
            label[part] * counted[part],
            None
            if prediction is None
            else prediction.reshape(-1)[part].long(),
            counted[part],
        )


def _probabilities(
    chunk: PixelChunk, kind: str, temperature: float
) -> tuple[Tensor, Tensor]:
    """Probabilities (C, n) and the NLL (n,)."""
    scores = chunk.scores
    if temperature != 1 and kind == 'probabilities':
        scores = scores ** (1 / temperature)
    elif temperature != 1:
        scores = scores / temperature
    own = scores.gather(0, chunk.label[None])[0]
    if kind == 'sigmoid':
        return scores.sigmoid(), F.softplus(scores).sum(0) - own
    if kind == 'logits':
        highest = scores.amax(0)
        power = (scores - highest).exp_()
        total = power.sum(0)
        return power.div_(total), total.log() - (own - highest)
    total = scores.sum(0)
    tiny = torch.finfo(scores.dtype).tiny  # a finite NLL where p is 0
    return scores / total, -(own / total).clamp(min=tiny).log()


def _sum_chunk(
    chunk: PixelChunk,
    prob: Tensor,
    nll: Tensor,
    argmax_hits: bool,
    bins: tuple[Tensor, int, bool],
) -> ConfidenceSums:
    label, counted = chunk.label, chunk.counted
    winner = chunk.prediction
    if winner is None:
        winner = chunk.scores.max(0).indices
    right = winner == label
    own = prob.gather(0, label[None])[0]
    brier = prob.square().sum(0) - 2 * own + 1
    top = prob.gather(0, winner[None])
    class_hits = right if argmax_hits else torch.ones_like(right)
    return ConfidenceSums(
        _bin(top, torch.zeros_like(label), right, *bins)[0],
        _bin(prob, label, class_hits, *bins),
        _count(label[counted], len(prob)),
        (~counted).sum().double(),
        (nll * counted).sum(dtype=torch.float64),
        (brier * counted).sum(dtype=torch.float64),
    )


def _bin(
    prob: Tensor,
    row: Tensor,
    hit: Tensor,
    counted: Tensor,
    num_bins: int,
    log_odds: bool,
) -> Tensor:
    """Bins (R, 3, B) of each row of ``prob`` (R, n); hits are in ``row``."""
    position = prob
    if log_odds:
        position = prob.logit(eps=1e-7) / (2 * _HIGHEST_LOG_ODDS) + 0.5
    index = (position * num_bins).int().clamp_(0, num_bins - 1)
    # Most probabilities fall into the first bin: it is what the others leave.
    chosen = ((index > 0) & counted).flatten().nonzero()[:, 0]
    first = num_bins * torch.arange(len(prob), device=prob.device).int()
    index += first.unsqueeze(1)
    hits = index.gather(0, row[None])[0][hit & counted]
    index = index.flatten().index_select(0, chosen)
    value = prob.flatten().index_select(0, chosen).double()
    size = len(prob) * num_bins
    sums = [
        _count(index, size),
        _sum_by(index, value, size),
        _count(hits, size),
    ]
    sums = torch.stack(sums).view(3, len(prob), num_bins).transpose(0, 1)
    whole = (prob * counted).sum(1, dtype=torch.float64)
    sums[:, 0, 0] = counted.sum() - sums[:, 0].sum(1)
    sums[:, 1, 0] = whole - sums[:, 1].sum(1)
    return sums


def _count(index: Tensor, size: int) -> Tensor:
    return torch.bincount(index, minlength=size).double()


def _sum_by(index: Tensor, value: Tensor, size: int) -> Tensor:
    if index.is_cuda and torch.are_deterministic_algorithms_enabled():
        # a weighted bincount would raise an error
        return value.new_zeros(size).index_add_(0, index, value)
    return torch.bincount(index, value, size)
