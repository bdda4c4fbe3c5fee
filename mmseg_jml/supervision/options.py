"""Checks of options that hooks share, when a hook is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real

__all__ = ['check_counts', 'check_losses', 'check_outputs', 'check_shares']


def check_losses(name: str, value: object) -> None:
    """Checks an option that holds entries of losses.

    Args:
        name (str): Name of the option, for messages.
        value (object): None, an entry, or a sequence of entries; an empty one
            stands for no loss.

    Raises:
        TypeError: If it is none of them.
    """
    if value is None:
        return
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    for entry in value if is_list else [value]:
        if isinstance(entry, Mapping) and 'type' in entry:
            continue
        hint = f'. Write {name}=dict(type={entry!r})'
        raise TypeError(
            f'Expected {name} to be an entry such as '
            "dict(type='mmseg_jml.KLDivergenceLoss'), a list of entries, or "
            f'[] for none, but got {value!r}'
            + hint * isinstance(entry, str)
            + '.'
        )


def check_outputs(value: object) -> None:
    """Checks a list of outputs of the student.

    Args:
        value (object): None, or a sequence of at least one name.

    Raises:
        ValueError: If it is neither.
    """
    if value is None:
        return
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if not (is_list and value and all(isinstance(v, str) for v in value)):
        raise ValueError(
            'Expected outputs to be a list of outputs of the student, such '
            f"as ['decode'], but got {value!r}. Leave it out for the main "
            'output and all auxiliary heads.'
        )


def check_shares(**shares: object) -> None:
    """Checks options that are shares or probabilities.

    Args:
        **shares (object): The options by name.

    Raises:
        ValueError: If one of them is no number in [0, 1]; True and False are
            none.
    """
    for name, value in shares.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not (is_number and 0 <= value <= 1):
            raise ValueError(
                f'Expected {name} to be a number in [0, 1] but got {value!r}.'
            )


def check_counts(least: int, **counts: object) -> None:
    """Check options that count.

    Args:
        least (int): The least number that has a meaning.
        **counts (object): The options by name.

    Raises:
        ValueError: If one of them is less or no whole number.
    """
    for name, value in counts.items():
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not (is_whole and value >= least):
            raise ValueError(
                f'Expected {name} to be {least} or more but got {value!r}.'
            )
