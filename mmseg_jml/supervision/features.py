"""Distances between feature maps of a student and of its teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from torch import Tensor, nn

from ..functional import attention_distance, channel_wise_divergence
from .ensemble import Ensemble
from .options import check_numbers, refuse
from .recorders import ModuleOutputs

__all__ = ['FeatureDistances', 'FeaturePair']

MEASURES = 'attention', 'channel'


@dataclass(frozen=True)
class FeaturePair:
    """A module of the student, and the module of the teacher it learns from.

    Args:
        student (str): Name of the student's module, as ``get_submodule``
            takes it.
        teacher (str): Name of the teacher's module.
        measure (str): 'attention' (:func:`attention_distance`) or 'channel'
            (:func:`channel_wise_divergence`).
        loss_weight (float): Factor of the distance. Defaults to 1.0.
        index (int, optional): Which output to compare of modules that have
            several, such as a backbone; -1 is the last. Defaults to None.
        temperature (float): Temperature of 'channel'. Defaults to 4.0.

    Examples:
        >>> import torch
        >>> pair = FeaturePair(
        ...     student='backbone',
        ...     teacher='backbone',
        ...     measure='attention',
        ...     index=-1,
        ... )
        >>> levels = torch.ones(2, 8, 4, 4), torch.ones(2, 16, 2, 2)
        >>> pair.map_of('student', levels).shape
        torch.Size([2, 16, 2, 2])
    """

    student: str
    teacher: str
    measure: str
    loss_weight: float = 1.0
    index: int | None = None
    temperature: float = 4.0

    @classmethod
    def parse(cls, value: Any) -> FeaturePair:
        """Read an entry of ``features`` with the arguments above.

        Raises:
            TypeError: If it is no dictionary with these keys.
            ValueError: If a value is out of range.
        """
        try:
            pair = cls(**value)
        except TypeError:
            raise TypeError(
                'Expected features to be a list of pairs such as dict('
                "student='backbone.layer4', teacher='backbone.layer4', "
                "measure='attention', loss_weight=1.0, index=None) but got "
                f'{value!r}.'
            ) from None
        if pair.measure not in MEASURES:
            expected = "'attention' or 'channel'"
            refuse('measure of features', expected, pair.measure)
        check_numbers(0, **{'loss_weight of features': pair.loss_weight})
        check_numbers(0.01, **{'temperature of features': pair.temperature})
        return pair

    @classmethod
    def parse_all(cls, value: object) -> list[FeaturePair]:
        """Read the option ``features``, and leave out pairs of weight 0."""
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            value = [value]
        pairs = [cls.parse(one) for one in value]
        return [pair for pair in pairs if pair.loss_weight]

    def map_of(self, whose: str, output: object) -> Tensor:
        """Select the map (N, C, H, W) to compare from a module's output."""
        name = getattr(self, whose)
        if isinstance(output, (tuple, list)):
            number, index = len(output), self.index
            if index is None or not -number <= index < number:
                raise ValueError(
                    f'Expected index of features to choose one of the {number}'
                    f' outputs of {name!r} of the {whose} but got {index!r}.'
                )
            output = output[index]
        got: object = type(output).__name__
        if isinstance(output, Tensor):
            if output.ndim == 4:
                return output
            got = tuple(output.shape)
        raise ValueError(
            f'Expected {name!r} of the {whose} to return a map of shape '
            f'(N, C, H, W) in each step but got {got}.'
        )


class FeatureDistances:
    """Compare feature maps of a student with those of its teachers.

    The distance to an ensemble is the mean of the distances to its teachers,
    each weighted by its share. ``source`` is part of the names of terms, such
    as 'kd'. It is a ValueError if a model lacks a module.
    """

    def __init__(
        self,
        pairs: Sequence[FeaturePair],
        student: nn.Module,
        ensemble: Ensemble,
        source: str,
    ) -> None:
        self._pairs, self._source = pairs, source
        names = [pair.student for pair in pairs]
        self._student = ModuleOutputs(student, names, 'student')
        names = [pair.teacher for pair in pairs]
        self._teachers = [
            (ModuleOutputs(teacher.model, names, 'teacher'), share)
            for teacher, share in zip(ensemble.teachers, ensemble.shares)
        ]

    def terms(self, factor: float) -> dict[str, Tensor]:
        """Compare the maps of the last forward passes.

        Each distance is multiplied by ``factor``, and has the name that it
        gets in the log, such as ``backbone.layer4.loss_kd_attention``. It is
        a ValueError if a map is missing, or two maps cannot be compared.
        """
        own = self._student.take()
        others = [(kept.take(), share) for kept, share in self._teachers]
        terms: dict[str, Tensor] = {}
        for pair in self._pairs:
            student = pair.map_of('student', own.get(pair.student))
            if not student.requires_grad:
                raise ValueError(
                    f'Expected {pair.student!r} of the student to have a '
                    'gradient but got none: it is frozen, or part of a block '
                    'that with_cp computes again. Name a whole stage, such as '
                    'backbone.layer4.'
                )
            distances = (
                share * _distance(pair, student, answers.get(pair.teacher))
                for answers, share in others
            )
            value = reduce(add, distances) * (factor * pair.loss_weight)
            name = f'{pair.student}.loss_{self._source}_{pair.measure}'
            terms[name] = terms[name] + value if name in terms else value
        return terms

    def remove(self) -> None:
        """Stop recording."""
        for kept in (self._student, *(kept for kept, _ in self._teachers)):
            kept.remove()


def _distance(pair: FeaturePair, student: Tensor, answer: object) -> Tensor:
    teacher = pair.map_of('teacher', answer)
    if pair.measure == 'attention':
        return attention_distance(student, teacher)
    channels = student.shape[1], teacher.shape[1]
    if channels[0] != channels[1]:
        raise ValueError(
            f"Expected measure='channel' to compare as many channels of "
            f'{pair.student!r} of the student as of {pair.teacher!r} of the '
            f'teacher but got {channels[0]} and {channels[1]}. '
            "measure='attention' compares any numbers; a learned projection "
            'is out of scope, since it needs an optimizer of its own.'
        )
    return channel_wise_divergence(
        student, teacher, temperature=pair.temperature
    )
