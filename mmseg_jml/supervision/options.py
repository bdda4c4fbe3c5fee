"""Checks of the options that hooks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path

from mmengine.config import Config

__all__ = [
    'check_counts',
    'check_losses',
    'check_outputs',
    'check_shares',
    'check_weights',
    'pair_teachers',
]


def pair_teachers(teacher: object, checkpoint: object) -> list[tuple]:
    """Pair the configs of teachers with their checkpoints.

    Args:
        teacher (object): A config, the path of one, or a list of them.
        checkpoint (object): A path or URL, or a list of them; several may
            share one config.

    Returns:
        list[tuple]: A config and a checkpoint for each teacher.

    Raises:
        TypeError: If one of them is something else.
        ValueError: If there is not one checkpoint for each config.

    Examples:
        >>> pair_teachers('teacher.py', ['first.pth', 'second.pth'])
        [('teacher.py', 'first.pth'), ('teacher.py', 'second.pth')]
    """
    configs = _as_list(
        'teacher',
        teacher,
        (str, Path, dict, Config),
        'the path of a config, such as mmseg::pspnet/..., or a config',
    )
    checkpoints = _as_list(
        'checkpoint',
        checkpoint,
        (str, Path),
        'the path or URL of the weights of a teacher',
    )
    if len(configs) == 1:
        configs *= len(checkpoints)
    if not checkpoints or len(configs) != len(checkpoints):
        raise ValueError(
            'Expected checkpoint to name one file for each teacher but got '
            f'{len(configs)} configs and {len(checkpoints)} checkpoints.'
        )
    return list(zip(configs, checkpoints))


def check_losses(name: str, value: object) -> None:
    """Check an option that holds entries of losses.

    Args:
        name (str): Name of the option, for messages.
        value (object): None, an entry, or a sequence of entries, which may be
            empty.

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


def check_outputs(value: object, paired: bool = False) -> None:
    """Check an option that names outputs of the student.

    Args:
        value (object): None, or a sequence of at least one name.
        paired (bool): Whether it is a dictionary, with an output of the
            teacher for each output of the student. Defaults to False.

    Raises:
        ValueError: If it is neither.
    """
    what = "a list of outputs of the student, such as ['decode']"
    default = 'for the main output and all auxiliary heads'
    kind, names = Sequence, value
    if paired:
        what = 'outputs of the student, each with one of the teacher to learn '
        what += "from, such as dict(decode='decode', aux='decode')"
        default = 'for outputs at the same places'
        kind = Mapping
        if isinstance(value, Mapping):
            names = [name for pair in value.items() for name in pair]
    is_kind = isinstance(value, kind) and not isinstance(value, str)
    if value is None or (
        is_kind and value and all(isinstance(name, str) for name in names)
    ):
        return
    raise ValueError(
        f'Expected outputs to be {what}, but got {value!r}. Leave it out '
        f'{default}.'
    )


def check_shares(**shares: object) -> None:
    """Check options that are shares or probabilities.

    Args:
        **shares (object): The options by name.

    Raises:
        ValueError: If one of them is no number in [0, 1], or a boolean.
    """
    for name, value in shares.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not (is_number and 0 <= value <= 1):
            raise ValueError(
                f'Expected {name} to be a number in [0, 1] but got {value!r}.'
            )


def check_counts(least: int, **counts: object) -> None:
    """Check options that are whole numbers.

    Args:
        least (int): The least number allowed.
        **counts (object): The options by name.

    Raises:
        ValueError: If one of them is smaller, or no whole number.
    """
    for name, value in counts.items():
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not (is_whole and value >= least):
            raise ValueError(
                f'Expected {name} to be {least} or more but got {value!r}.'
            )


def check_weights(name: str, value: object, number: int) -> None:
    """Check an option that holds one weight for each teacher.

    Args:
        name (str): Name of the option, for messages.
        value (object): None, or a sequence of numbers above 0.
        number (int): The number of teachers.

    Raises:
        ValueError: If it is neither.
    """
    if value is None:
        return
    is_list = isinstance(value, Sequence) and len(value) == number
    if not is_list or not all(
        isinstance(one, Real) and 0 < one < float('inf') for one in value
    ):
        raise ValueError(
            f'Expected {name} to be {number} numbers above 0, one for each '
            f'teacher, but got {value!r}.'
        )


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
