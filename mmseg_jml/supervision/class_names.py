"""Comparison of the classes of two models or data sets."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

__all__ = ['check_classes', 'same_names']


def same_names(
    first: Sequence[str] | None, second: Sequence[str] | None
) -> bool:
    """Tell whether two lists name the same classes in the same order.

    Case, blanks, hyphens and underscores do not matter. A list that is empty
    or not known is the same as any.

    Examples:
        >>> same_names(['Traffic Light', 'car'], ['traffic_light', 'Car'])
        True
        >>> same_names(['car', 'sky'], ['sky', 'car'])
        False
    """
    if not (first and second):
        return True
    return [*map(_plain, first)] == [*map(_plain, second)]


def _plain(name: str) -> str:
    return ''.join(c for c in str(name).lower() if c not in ' -_')


def check_classes(
    student: nn.Module,
    teacher: nn.Module,
    student_classes: Sequence[str] | None,
    teacher_classes: Sequence[str] | None,
) -> None:
    """Raise a ValueError unless a teacher has the classes of the student.

    Names, which only some checkpoints and data sets have, are compared where
    both are known.
    """
    counts = student.num_classes, teacher.num_classes
    if counts[0] != counts[1]:
        raise ValueError(
            f'Expected a teacher of the {counts[0]} classes of the student '
            f'({_enumerate(student_classes)}) but got one of {counts[1]} '
            f'({_enumerate(teacher_classes)}).'
        )
    if not same_names(student_classes, teacher_classes):
        raise ValueError(
            'Expected a teacher of the classes of the student, in their '
            f'order ({_enumerate(student_classes)}), but got one of '
            f'{_enumerate(teacher_classes)}. If they mean the same, set '
            'check_classes=False.'
        )


def _enumerate(classes: Sequence[str] | None) -> str:
    return ', '.join(map(str, classes or ())) or 'names unknown'
