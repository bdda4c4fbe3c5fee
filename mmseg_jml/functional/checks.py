"""Checks of the values of labels and weights, also on a GPU."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_jml.kernels import as_one_step

__all__ = ['Arrival', 'Expectation', 'check_later']

# Soft labels that went through float16 sum to 1 only to this.
_SUM_TOLERANCE = 5e-3
# On a GPU the first 20 batches are checked, then every 47th. A prime, so that
# heads that take turns are all seen.
_FIRST, _EVERY = 20, 47


class Arrival:
    """Numbers on their way from a GPU to the host, which does not wait."""

    def __init__(self, numbers: Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._host = numbers
        if numbers.is_cuda:
            self._host = torch.empty_like(
                numbers, device='cpu', pin_memory=True
            )
            self._host.copy_(numbers, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(numbers.device))

    def is_there(self) -> bool:
        """Tell whether :meth:`tolist` may be called."""
        return self._event is None or bool(self._event.query())

    def tolist(self) -> list:  # type: ignore[type-arg]  # nested to any depth
        """Return the numbers as a list."""
        return self._host.tolist()


@dataclass(frozen=True)
class Expectation:
    """The values that a label and its pixel weights may have.

    Args:
        num_classes (int): Hard labels lie in [0, num_classes).
        ignore_index (int, optional): Hard label that is allowed besides.
        use_sigmoid (bool): Whether soft labels need not sum to 1.
        is_hard (bool): Whether the label holds classes, not probabilities.
    """

    num_classes: int
    ignore_index: int | None
    use_sigmoid: bool
    is_hard: bool

    @torch.no_grad()
    def measure(self, target: Tensor, weight: Tensor | None) -> Tensor:
        """Compute the numbers that :meth:`judge` reads, on the device, (4,).

        They are the lowest and the highest wrong hard label (0 and 0 if none
        is wrong) or the lowest and the highest soft label; the largest
        deviation of a pixel's sum over classes from 1; and the lowest weight.
        Soft labels of pixels of weight 0 are skipped.
        """
        zero = torch.zeros((), device=target.device)
        if not target.numel():
            return zero.expand(4)
        lightest = zero if weight is None else weight.min().float()
        if self.is_hard:
            wrong = target != target.clamp(0, self.num_classes - 1)
            if self.ignore_index is not None:
                wrong &= target != self.ignore_index
            low, high = (target * wrong).aminmax()
            return torch.stack([low.float(), high.float(), zero, lightest])
        low, high = target.amin(1).float(), target.amax(1).float()
        off = (target.sum(1, dtype=torch.float32) - 1).abs()
        if weight is not None:
            skipped = weight <= 0
            low, high, off = (
                x.masked_fill(skipped, 0) for x in (low, high, off)
            )
        return torch.stack([low.min(), high.max(), off.max(), lightest])

    def check(self, target: Tensor, weight: Tensor | None) -> None:
        """Check a label and its weights; on a GPU this waits for the device.

        Raises:
            ValueError: If a label is neither in [0, C) nor ignored, a soft
                label lies outside [0, 1] or does not sum to 1, or a weight is
                negative.
        """
        self.judge(self.measure(target, weight).tolist())

    def judge(self, numbers: list[float]) -> None:
        """Raise the error of :meth:`check` if the numbers call for one."""
        low, high, off, lightest = numbers
        if not lightest >= 0:  # written so that NaN does not pass
            raise ValueError(
                f'Expected weight to be at least 0, but got {lightest}'
            )
        if self.is_hard and (low or high):
            wrong = sorted({int(x) for x in (low, high) if x})
            raise ValueError(
                f'Expected labels in [0, {self.num_classes}) or '
                f'ignore_index={self.ignore_index}, but got {wrong}; '
                'check num_classes, ignore_index and reduce_zero_label'
            )
        if not (low >= -_SUM_TOLERANCE and high <= 1 + _SUM_TOLERANCE):
            hint = (
                '; these look like class indices, which belong in an integer '
                'label of shape (N, *)'
            )
            whole = low % 1 == 0 and high % 1 == 0  # not for NaN
            raise ValueError(
                'Expected soft labels in [0, 1], but got values from '
                f'{low:g} to {high:g}{hint if whole else ""}'
            )
        if not self.use_sigmoid and not off <= _SUM_TOLERANCE:
            raise ValueError(
                'Expected soft labels that sum to 1 over the classes, but got '
                f'a sum that is off by {off:.4g}; divide by the sum, or give '
                'the pixels that have no label a weight of 0'
            )


class _Late:
    """Measurements on their way from a GPU."""

    def __init__(self) -> None:
        self.calls = 0
        self.pending: deque[tuple[Arrival, Expectation]] = deque()

    def report(self) -> None:
        """Judge the measurements that have arrived; do not wait for more."""
        while self.pending and self.pending[0][0].is_there():
            numbers, expected = self.pending.popleft()
            try:
                expected.judge(numbers.tolist())
            except ValueError as error:
                raise ValueError(
                    f'{error} (in one of the last batches; on a GPU labels '
                    'are read with a delay)'
                ) from None

    def is_due(self) -> bool:
        self.calls += 1
        return self.calls <= _FIRST or self.calls % _EVERY == 0


_late = _Late()


def check_later(
    expected: Expectation, target: Tensor, weight: Tensor | None
) -> None:
    """Check a batch on a GPU without waiting for the device.

    Its measurements travel to the host while training goes on, and a later
    call raises the error. The first 20 batches and every 47th are checked.

    Raises:
        ValueError: As :meth:`Expectation.check`, for an earlier batch.
    """
    # for a compiler each state of _late would be another function
    as_one_step(_check)(expected, target, weight)


def _check(
    expected: Expectation, target: Tensor, weight: Tensor | None
) -> None:
    if torch.cuda.is_current_stream_capturing():
        return
    _late.report()
    if _late.is_due():
        numbers = Arrival(expected.measure(target, weight))
        _late.pending.append((numbers, expected))
