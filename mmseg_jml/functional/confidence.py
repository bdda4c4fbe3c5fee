"""Pixels in bins of confidence, in one pass over the scores."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .pixel_chunks import PixelChunk, check_kind, pixel_chunks

__all__ = ['ConfidenceSums', 'confidence_sums']

# log(p / (1 - p)) is 16.1 at p = 1 - 1e-7, to which probabilities are clamped
_HIGHEST_LOG_ODDS = 16.0


class ConfidenceSums(NamedTuple):
    """Sums over the counted pixels of an image or, added up, of many.

    Bins are stored as (3, B): the number of pixels, the sum of their
    confidences, the number of hits.

    Attributes:
        top (Tensor): (3, B), bins of the probability of the predicted class;
            a hit is a pixel with that label.
        classes (Tensor): (C, 3, B), bins of the probability of each class; a
            hit is a pixel labelled as the class.
        labelled (Tensor): (C,), number of pixels labelled as each class.
        ignored (Tensor): Scalar, number of pixels that do not count.
        nll (Tensor): Scalar, sum of the negative log-likelihoods.
        brier (Tensor): Scalar, sum of the squared distances between the
            probabilities and the one-hot label.

    Examples:
        >>> scores = torch.tensor([[0.9, 0.2], [0.1, 0.8]])
        >>> label = torch.tensor([0, 0])
        >>> sums = confidence_sums(scores, label, kind='probabilities')
        >>> sums.plus(sums).labelled
        tensor([4., 0.], dtype=torch.float64)
    """

    top: Tensor
    classes: Tensor
    labelled: Tensor
    ignored: Tensor
    nll: Tensor
    brier: Tensor

    def plus(self, other: ConfidenceSums) -> ConfidenceSums:
        """Add sums over other pixels, made with the same options."""
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
    """Sort one image's pixels into bins of confidence, and sum up each bin.

    Probabilities, bins, NLL and Brier score come from one pass over chunks
    of pixels, so that working memory does not grow with the image.
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
    check_kind(kind)

    def sums(chunk: PixelChunk) -> ConfidenceSums:
        prob, nll = _probabilities(chunk, kind, temperature)
        label, winner = chunk.label, chunk.prediction
        if winner is None:
            winner = chunk.scores.max(0).indices
        right = winner == label
        own = prob.gather(0, label[None])[0]
        brier = prob.square().sum(0) - 2 * own + 1
        top = prob.gather(0, winner[None])
        hits = right if argmax_hits else torch.ones_like(right)
        first = torch.zeros_like(label)
        return ConfidenceSums(
            _bin(top, first, right, num_bins, log_odds)[0],
            _bin(prob, label, hits, num_bins, log_odds),
            _count(label, len(prob)),
            own.new_tensor(chunk.ignored, dtype=torch.float64),
            nll.sum(dtype=torch.float64),
            brier.sum(dtype=torch.float64),
        )

    chunks = pixel_chunks(scores, label, prediction, ignore_index)
    total = functools.reduce(ConfidenceSums.plus, map(sums, chunks))
    if total.nll.isnan():
        raise ValueError('Expected scores to be numbers, but got NaN or inf')
    return total


def _probabilities(
    chunk: PixelChunk, kind: str, temperature: float
) -> tuple[Tensor, Tensor]:
    """Compute probabilities (C, n) and the NLL of each pixel (n,)."""
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


def _bin(
    prob: Tensor, row: Tensor, hit: Tensor, num_bins: int, log_odds: bool
) -> Tensor:
    """Bin each row of ``prob`` (R, n), to (R, 3, B).

    Pixels with ``hit`` (n,) are hits of the row that ``row`` (n,) names.
    """
    position = prob
    if log_odds:
        position = prob.logit(eps=1e-7) / (2 * _HIGHEST_LOG_ODDS) + 0.5
    index = (position * num_bins).int().clamp_(0, num_bins - 1)
    # Most probabilities fall into the first bin: it is computed from the
    # total and the other bins.
    chosen = (index > 0).flatten().nonzero()[:, 0]
    first = num_bins * torch.arange(len(prob), device=prob.device).int()
    index += first.unsqueeze(1)
    hits = index.gather(0, row[None])[0][hit]
    index = index.flatten().index_select(0, chosen)
    value = prob.flatten().index_select(0, chosen).double()
    size = len(prob) * num_bins
    rows = [
        _count(index, size),
        _sum_by(index, value, size),
        _count(hits, size),
    ]
    sums = torch.stack(rows).view(3, len(prob), num_bins).transpose(0, 1)
    whole = prob.sum(1, dtype=torch.float64)
    sums[:, 0, 0] = prob.shape[1] - sums[:, 0].sum(1)
    sums[:, 1, 0] = whole - sums[:, 1].sum(1)
    return sums


def _count(index: Tensor, size: int) -> Tensor:
    return torch.bincount(index, minlength=size).double()


def _sum_by(index: Tensor, value: Tensor, size: int) -> Tensor:
    if index.is_cuda and torch.are_deterministic_algorithms_enabled():
        # a weighted bincount would raise an error
        return value.new_zeros(size).index_add_(0, index, value)
    return torch.bincount(index, value, size)
