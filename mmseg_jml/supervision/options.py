"""Checks of the options that hooks share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mmengine.config import Config

if TYPE_CHECKING:
    from typing_extensions import TypeGuard

__all__ = [
    'check_counts',
    'check_losses',
    'check_numbers',
    'check_outputs',
    'check_shares',
    'check_weights',
    'is_list',
    'is_number',
    'is_whole',
    'pair_teachers',
    'refuse',
]


def refuse(name: str, expected: str, value: object) -> NoReturn:
    """Raise a ValueError that says what an option may be, and what it is."""
    raise ValueError(f'Expected {name} to be {expected} but got {value!r}.')


def pair_teachers(teacher: object, checkpoint: object) -> list[tuple]:
    """Pair the configs of teachers with their checkpoints.

    Each is one or a list of them, with a checkpoint for each config; several
    checkpoints may share one config.

    Raises:
        TypeError: If something is neither a path nor, as a teacher, a config.
        ValueError: If the numbers differ.

    Examples:
        >>> pair_teachers('teacher.py', ['first.pth', 'second.pth'])
        [('teacher.py', 'first.pth'), ('teacher.py', 'second.pth')]
    """
    what = 'the path of a config, such as mmseg::pspnet/..., or a config'
    configs = _as_list('teacher', teacher, (str, Path, dict, Config), what)
    what = 'the path or URL of the weights of a teacher'
    checkpoints = _as_list('checkpoint', checkpoint, (str, Path), what)
    if len(configs) == 1:
        configs *= len(checkpoints)
    if not checkpoints or len(configs) != len(checkpoints):
        raise ValueError(
            'Expected checkpoint to name one file for each teacher but got '
            f'{len(configs)} configs and {len(checkpoints)} checkpoints.'
        )
    return list(zip(configs, checkpoints))


def _as_list(name: str, value: object, kinds: tuple, what: str) -> list:
    values = [value] if isinstance(value, kinds) else value
    if not isinstance(values, Sequence) or not all(
        isinstance(one, kinds) for one in values
    ):
        raise TypeError(
            f'Expected {name} to be {what}, or a list of them, but got '
            f'{value!r}.'
        )
    return list(values)


def check_losses(name: str, value: object) -> None:
    """Raise a TypeError unless an option is None, a loss or a list of them."""
    if value is None:
        return
    for entry in value if is_list(value) else [value]:
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


def is_list(value: object) -> TypeGuard[Sequence]:
    """Tell whether a value is a sequence, and no string."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def check_outputs(value: object, paired: bool) -> None:
    """Raise a ValueError unless an option names outputs of the student.

    That is None, a sequence of at least one name or, if ``paired``, a
    dictionary with an output of the teacher for each output of the student.
    """
    what = "a list of outputs of the student, such as ['decode']"
    default = 'for the main output and all auxiliary heads'
    names: Sequence = value if is_list(value) else ()
    if paired:
        what = 'outputs of the student, each with one of the teacher to learn '
        what += "from, such as dict(decode='decode', aux='decode')"
        default = 'for outputs at the same places'
        pairs = value.items() if isinstance(value, Mapping) else ()
        names = [name for pair in pairs for name in pair]
    if value is None or (
        names and all(isinstance(name, str) for name in names)
    ):
        return
    raise ValueError(
        f'Expected outputs to be {what}, but got {value!r}. Leave it out '
        f'{default}.'
    )


def is_number(value: object, least: float, most: float) -> TypeGuard[float]:
    """Tell whether a value is a number, no boolean, in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return least <= float(value) <= most


def is_whole(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number, and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_numbers(least: float, **numbers: object) -> None:
    """Raise a ValueError unless options are finite and at least ``least``."""
    for name, value in numbers.items():
        if not is_number(value, least, math.inf) or value == math.inf:
            refuse(name, f'a number of at least {least}', value)


def check_shares(**shares: object) -> None:
    """Raise a ValueError unless options are numbers in [0, 1]."""
    for name, value in shares.items():
        if not is_number(value, 0, 1):
            refuse(name, 'a number in [0, 1]', value)


def check_counts(least: int, **counts: object) -> None:
    """Raise a ValueError unless options are whole and at least ``least``."""
    for name, value in counts.items():
        if not (is_whole(value) and value >= least):
            refuse(name, f'{least} or more', value)


def check_weights(name: str, value: object, number: int) -> None:
    """Raise a ValueError unless an option is None or has ``number`` weights.

    There is one for each teacher, above 0 and finite.
    """
    if value is None:
        return
    weights = value if isinstance(value, Sequence) else ()
    if len(weights) != number or not all(
        isinstance(one, Real) and 0 < float(one) < math.inf for one in weights
    ):
        refuse(name, f'{number} numbers above 0, one for each teacher,', value)
