"""The temperature that makes labels most likely, from one pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .pixel_chunks import check_kind, pixel_chunks
from .teacher_logits import score_logits

__all__ = ['TemperatureSums', 'fit_temperature', 'temperature_sums']

# Temperatures from 10 to 0.1, as factors of the logits.
_FACTORS = tuple(10 ** (i / 8) for i in range(-8, 9))


# No tuple: mmengine makes plain tuples of those that processes exchange.
@dataclass(frozen=True)
class TemperatureSums:
    """How the negative log-likelihood changes with the temperature.

    Attributes:
        slope (Tensor): (K,) float64, the derivative of the summed NLL by the
            factor of the logits, at K factors from 0.1 to 10.
        curvature (Tensor): (K,) float64, the second derivative.

    Examples:
        >>> zeros = torch.zeros(17, dtype=torch.float64)
        >>> TemperatureSums(zeros, zeros + 1).plus(
        ...     TemperatureSums(zeros, zeros + 2)
        ... ).curvature[0]
        tensor(3., dtype=torch.float64)
    """

    slope: Tensor
    curvature: Tensor

    def plus(self, other: TemperatureSums) -> TemperatureSums:
        """Add sums over other pixels."""
        return TemperatureSums(
            *(a + b for a, b in zip(vars(self).values(), vars(other).values()))
        )


def temperature_sums(
    scores: Tensor,
    label: Tensor,
    *,
    kind: str = 'logits',
    ignore_index: int | None = 255,
) -> TemperatureSums:
    """Sum the derivatives that a temperature is fitted from, over an image.

    With logits z, label y and a factor b = 1 / temperature, the NLL is
    log sum exp(b z) - b z_y. Its derivative by b is the mean of z under the
    softmax of b z, minus z_y; the second derivative is the variance of z.

    Arguments and errors are those of :func:`confidence_sums`, with the same
    defaults.

    Returns:
        TemperatureSums: Sums on the CPU.

    Examples:
        The factor in the middle is 1; there the derivative is the mean of the
        logits, 2 / 2 for one pixel, minus that of the label:

        >>> logits = torch.tensor([[2.0], [0.0]])
        >>> sums = temperature_sums(logits, torch.tensor([0]))
        >>> expected = 2 * logits.softmax(0)[0] - 2
        >>> torch.allclose(sums.slope[8], expected.double())
        True
    """
    check_kind(kind)
    total = torch.zeros(2, len(_FACTORS), dtype=torch.float64)
    for chunk in pixel_chunks(scores, label, None, ignore_index):
        logits = chunk.scores
        if kind == 'probabilities':
            logits = score_logits(logits)
        own = logits.gather(0, chunk.label[None])[0]
        rows = [
            _derivatives(logits, own, factor, kind == 'sigmoid')
            for factor in _FACTORS
        ]
        total += torch.stack(rows, 1).cpu()
    return TemperatureSums(*total)


def _derivatives(
    logits: Tensor, own: Tensor, factor: float, is_sigmoid: bool
) -> Tensor:
    """Compute two derivatives of the summed NLL, (2,) float64."""
    scaled = factor * logits
    prob = scaled.sigmoid() if is_sigmoid else scaled.softmax(0)
    mean = (prob * logits).sum(0)
    if is_sigmoid:
        variance = (prob * (1 - prob) * logits.square()).sum(0)
    else:
        variance = (prob * (logits - mean).square()).sum(0)
    return torch.stack([mean - own, variance]).sum(1, dtype=torch.float64)


def fit_temperature(sums: TemperatureSums) -> float:
    """Find the temperature of the lowest negative log-likelihood.

    The NLL is convex in the factor of the logits. Its first and second
    derivative are known at 17 factors; in between a cubic polynomial stands
    for the first. The temperature is off by 3e-4 of itself or less.

    Args:
        sums (TemperatureSums): Over the pixels of a validation set.

    Returns:
        float: In [0.1, 10]. At an end of the range the best temperature lies
        beyond it: above 10 where predictions are no better than chance, below
        0.1 where all of them are right. NaN where no pixel counts.

    Examples:
        >>> logits = torch.tensor([[4.0, 4.0, 4.0, 4.0], [0.0] * 4])
        >>> label = torch.tensor([0, 0, 0, 1])  # three of four are right
        >>> temperature = fit_temperature(temperature_sums(logits, label))
        >>> round(1 / torch.tensor(4.0 / temperature).sigmoid().item(), 3)
        1.333
    """
    slope, curvature = sums.slope, sums.curvature
    if not curvature.sum() > 0:
        return float('nan')
    if slope[0] >= 0:
        return 1 / _FACTORS[0]
    if slope[-1] <= 0:
        return 1 / _FACTORS[-1]
    right = int((slope > 0).nonzero()[0])
    left = right - 1
    low, high = _FACTORS[left], _FACTORS[right]
    tangents = curvature * (high - low)
    share = _root(
        *slope[[left, right]].tolist(), *tangents[[left, right]].tolist()
    )
    return 1 / (low + share * (high - low))


def _root(first: float, last: float, tangent: float, end: float) -> float:
    """Find where in [0, 1] a cubic of these values and tangents crosses 0."""
    low, high = 0.0, 1.0
    for _ in range(60):
        t = (low + high) / 2
        value = (
            (1 + 2 * t) * (1 - t) ** 2 * first
            + t**2 * (3 - 2 * t) * last
            + t * (1 - t) ** 2 * tangent
            - t**2 * (1 - t) * end
        )
        low, high = (t, high) if value < 0 else (low, t)
    return low
