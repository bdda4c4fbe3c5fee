"""Checks of single options, whose errors name the option and its value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real

__all__ = [
    'check_above',
    'check_at_least',
    'check_counts',
    'check_integers',
    'check_percent',
]


def check_at_least(least: float, **values: float) -> None:
    """Check options that are finite numbers with a least value.

    Raises:
        TypeError: If one of them is no number.
        ValueError: If one of them is below ``least``, infinite or NaN.

    Examples:
        >>> check_at_least(0, loss_weight=-1.0)
        Traceback (most recent call last):
        ValueError: Expected loss_weight to be at least 0, but got -1.0
    """
    _check_numbers(values, least, is_allowed=True)


def check_above(bound: float, **values: float) -> None:
    """Check options that are finite numbers above a bound.

    Raises:
        TypeError: If one of them is no number.
        ValueError: If one of them is ``bound`` or below, infinite or NaN.

    Examples:
        >>> check_above(0, temperature=0.0)
        Traceback (most recent call last):
        ValueError: Expected temperature to be above 0, but got 0.0
    """
    _check_numbers(values, bound, is_allowed=False)


def check_integers(**values: int | None) -> None:
    """Check options that are integers, and no booleans, or None.

    Raises:
        TypeError: If one of them is something else.

    Examples:
        >>> check_integers(ignore_index='x')
        Traceback (most recent call last):
        TypeError: Expected ignore_index to be an integer, but got 'x'
    """
    for name, value in values.items():
        is_right = value is None or isinstance(value, Integral)
        if isinstance(value, bool) or not is_right:
            raise TypeError(
                f'Expected {name} to be an integer, but got {value!r}'
            )


def check_counts(least: int, **values: int) -> None:
    """Check options that are whole numbers with a least value.

    Raises:
        ValueError: If one of them is no integer, or below ``least``.

    Examples:
        >>> check_counts(0, bins=-1)
        Traceback (most recent call last):
        ValueError: Expected bins to be a whole number of 0 or more, but got -1
    """
    for name, value in values.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(
                f'Expected {name} to be a whole number of {least} or more, '
                f'but got {value!r}'
            )


def check_percent(**percents: float) -> None:
    """Check options that are percentages.

    Raises:
        ValueError: If one of them is no number in (0, 100].

    Examples:
        >>> check_percent(worst=0.5)
    """
    for name, value in percents.items():
        if not isinstance(value, Real) or not 0 < value <= 100:
            raise ValueError(
                f'Expected {name} to be a number in (0, 100], in percent, but '
                f'got {value!r}'
            )


def _check_numbers(
    values: Mapping[str, float], bound: float, is_allowed: bool
) -> None:
    for name, value in values.items():
        try:
            is_right = bound < value or (is_allowed and value == bound)
            is_right = is_right and value < math.inf
        except TypeError:
            raise TypeError(
                f'Expected {name} to be a number, but got {value!r}'
            ) from None
        if not is_right:
            what = f'{"at least" if is_allowed else "above"} {bound}'
            what = 'finite' if value == math.inf else what
            raise ValueError(
                f'Expected {name} to be {what}, but got {value!r}'
            )
