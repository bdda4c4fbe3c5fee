"""Whether two segmentors mean the same by their channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

__all__ = ['check_classes', 'same_names']


def same_names(
    first: Sequence[str] | None, second: Sequence[str] | None
) -> bool:
    """Whether two lists can mean the same classes in the same order.

    Args:
        first (Sequence[str], optional): Names. Case, blanks, hyphens and
            underscores do not matter.
        second (Sequence[str], optional): Others.

    Returns:
        bool: True also where names are not known.

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
    """Check the number of classes and, where they are known, their names.

    Args:
        student (nn.Module): A segmentor.
        teacher (nn.Module): Another.
        student_classes (Sequence[str], optional): Names of its classes.
        teacher_classes (Sequence[str], optional): Names of the other's.

    Raises:
        ValueError: If numbers or names differ.
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
