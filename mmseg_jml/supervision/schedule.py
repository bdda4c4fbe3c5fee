"""Numbers that change over the iterations of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Union

from mmengine.dataset import InfiniteSampler
from mmengine.runner import BaseLoop

from .options import check_numbers, is_whole, refuse

__all__ = ['Number', 'Schedule']

Number = Union[float, dict]
SHAPES = ('constant', 'linear', 'cosine')


@dataclass(frozen=True)
class Schedule:
    """A number that goes from ``start`` to ``stop``.

    It depends on the iteration alone, so that a resumed run goes on as the
    unbroken one would. Up to ``begin`` it is ``start``, from ``end`` on it is
    ``stop``. Between them 'linear' is a straight line, and 'cosine' half a
    period of a cosine, which is flat at both ends.

    Args:
        type (str): 'constant' (which stays at ``start``), 'linear' or
            'cosine'.
        start (float): First value.
        stop (float, optional): Last value. None means ``start``. Defaults to
            None.
        begin (int): Iteration from which on it changes. Defaults to 0.
        end (int, optional): Iteration that reaches ``stop``. None means the
            end of the run. Defaults to None.
        by_epoch (bool): Whether ``begin`` and ``end`` count epochs. The
            number changes in each iteration all the same. Defaults to False.

    Examples:
        >>> Schedule('linear', 1.0, 0.0)(iteration=25, max_iters=100)
        0.75
    """

    type: str
    start: float
    stop: float | None = None
    begin: int = 0
    end: int | None = None
    by_epoch: bool = False

    @classmethod
    def parse(cls, name: str, value: Number, low: float = 0.0) -> Schedule:
        """Read a number or a dictionary with the arguments above.

        Args:
            name (str): Name of the option, for messages.
            value (float | dict): The option.
            low (float): The least value allowed. Defaults to 0.0.

        Raises:
            TypeError: If it is neither, or has unknown keys.
            ValueError: If a value is out of range.
        """
        options: Any = value
        if isinstance(value, Real) and not isinstance(value, bool):
            options = dict(type='constant', start=value)
        try:
            schedule = cls(**options)
        except TypeError:
            raise TypeError(
                f'Expected {name} to be a number or a schedule like '
                "dict(type='linear', start=1.0, stop=0.0, begin=0, end=None) "
                f'but got {value!r}.'
            ) from None
        schedule._check(name, low)
        return schedule

    def _check(self, name: str, low: float) -> None:
        if self.type not in SHAPES:
            refuse(f'the type of {name}', f'one of {SHAPES}', self.type)
        for value in (self.start, self._stop):
            check_numbers(low, **{name: value})
        unit = 'epoch' if self.by_epoch else 'iteration'
        for key, place in (('begin', self.begin), ('end', self.end)):
            if not (is_whole(place) or (key == 'end' and place is None)):
                expected = f'an {unit}, a whole number such as 20,'
                refuse(f'{key} of {name}', expected, place)
        if self.end is not None and self.end <= self.begin:
            raise ValueError(
                f'Expected {name} to end after {unit} {self.begin}, '
                f'where it begins, but got end={self.end}.'
            )

    def in_iterations(self, name: str, loop: BaseLoop) -> Schedule:
        """Convert ``begin`` and ``end`` from epochs of a loop to iterations.

        Raises:
            ValueError: If it counts epochs, but the loop's have no length.
        """
        if not self.by_epoch:
            return self
        loader = loop.dataloader
        endless = isinstance(getattr(loader, 'sampler', None), InfiniteSampler)
        if endless or not hasattr(loader, '__len__'):
            raise ValueError(
                f'Expected a loop whose epochs have a length for {name} with '
                f'by_epoch=True, such as EpochBasedTrainLoop, but got '
                f'{type(loop).__name__} with a sampler that never ends. Give '
                'begin and end in iterations.'
            )
        length = len(loader)
        end = None if self.end is None else self.end * length
        return replace(
            self, begin=self.begin * length, end=end, by_epoch=False
        )

    @property
    def _stop(self) -> float:
        return self.start if self.stop is None else self.stop

    @property
    def changes(self) -> bool:
        """Whether the number ever changes."""
        return self.type != 'constant' and self.start != self._stop

    def __call__(self, iteration: int, max_iters: int) -> float:
        """Return the number of an iteration, counted from 0."""
        if not self.changes:
            return float(self.start)
        end = max_iters if self.end is None else self.end
        share = (iteration - self.begin) / max(end - self.begin, 1)
        share = min(max(share, 0.0), 1.0)
        if self.type == 'cosine':
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + share * (self._stop - self.start)
