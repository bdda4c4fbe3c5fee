"""Probabilities of one image, in the form in which mmseg keeps them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .teacher_logits import score_logits

__all__ = ['are_probabilities', 'average_scores', 'both_classes']

# float32 has no number between 1 - _LEAST and 1
_LEAST = 2.0**-24


def both_classes(second: Tensor, dim: int = 0) -> Tensor:
    """Return the probabilities of two classes from that of the second.

    They are at least 2 ** -24, so that their logarithms are finite.

    Args:
        second (Tensor): Floats in [0, 1], of size 1 in ``dim``.
        dim (int): The dimension of the classes. Defaults to 0.

    Returns:
        Tensor: Float32, of size 2 in ``dim``, where it sums to 1.

    Examples:
        >>> both_classes(torch.tensor([[0.25, 0.5]]))
        tensor([[0.7500, 0.5000],
                [0.2500, 0.5000]])
    """
    second = second.float().clamp(_LEAST, 1 - _LEAST)
    return torch.cat([1 - second, second], dim)


def are_probabilities(scores: Tensor) -> bool:
    """Tell whether scores look like probabilities rather than logits.

    Args:
        scores (Tensor): (C, *) floats.

    Returns:
        bool: Whether all are at least 0, and those of each pixel sum to 1,
        give or take 0.001.

    Examples:
        >>> logits = torch.tensor([[2.0, -1.0], [0.0, 1.0]])
        >>> are_probabilities(logits), are_probabilities(logits.softmax(0))
        (False, True)
    """
    error = (scores.sum(0) - 1).abs().max()
    return bool(error < 1e-3) and bool(scores.min() >= 0)


def _mean(scores: Iterable[Tensor]) -> Tensor:
    first, *others = scores
    return functools.reduce(torch.add, others, first) / (1 + len(others))


def average_scores(
    scores: Sequence[Tensor], threshold: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Average the probabilities of several views of an image.

    Args:
        scores (Sequence[Tensor]): One (C, *) for each view. Of several
            channels these are logits; one channel is the probability of the
            second of two classes.
        threshold (float): The second class is predicted where one
            channel exceeds it. Several channels need none. Defaults to 0.5.

    Returns:
        tuple[Tensor, Tensor]: Scores (C, *) of the same kind, whose
        probability is the mean; and the predicted classes (1, *), int64, for
        one channel of the dtype of the scores.

    Examples:
        >>> views = torch.tensor([[[9.0], [1.0]], [[1.0], [1.0]]]).log()
        >>> scores, prediction = average_scores([*views])
        >>> scores.softmax(0), prediction  # mean of 9 to 1 and 1 to 1
        (tensor([[0.7000],
                [0.3000]]), tensor([[0]]))
    """
    if len(scores[0]) == 1:
        mean = _mean(scores)
        return mean, (mean > threshold).to(mean)
    mean = _mean(score.softmax(0) for score in scores)
    return score_logits(mean[None])[0], mean.argmax(0, keepdim=True)
