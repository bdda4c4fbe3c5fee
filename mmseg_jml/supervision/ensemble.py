"""An ensemble of teachers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..functional import average_teachers, teacher_target
from ..heads import auxiliary_heads, main_head
from ..kernels import TeacherLogits
from .lesson import StudentOutput
from .teacher import Teacher

__all__ = ['Ensemble']


class Ensemble:
    """Average the probabilities of several teachers.

    They have names in messages, and weights above 0; None weighs them
    equally. ``shares`` are the weights, divided by their sum.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        names: Sequence[str],
        weights: Sequence[float] | None,
    ) -> None:
        self.teachers, self._names = teachers, names
        weights = weights or [1.0] * len(teachers)
        self.shares = [weight / sum(weights) for weight in weights]

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs that all teachers have, ``decode`` first."""
        first, *others = self.teachers
        return [
            name
            for name in first.outputs
            if all(name in other.outputs for other in others)
        ]

    def pairs(
        self, student: nn.Module, wanted: dict[str, str] | None
    ) -> dict[str, str]:
        """Pair the outputs of the student with those of the teachers.

        The pairs that the user wants are checked: it is a ValueError if the
        teachers lack an output. By default, pair the main outputs, and
        auxiliary heads at the same place, and warn of those left alone.
        """
        if wanted is None:
            return self._default_pairs(student)
        for name in wanted.values():
            if name not in self.outputs:
                raise ValueError(
                    'Expected outputs to take an output of the teacher, '
                    f'{", ".join(self.outputs)}, but got {name!r}.'
                )
        return wanted

    def _default_pairs(self, student: nn.Module) -> dict[str, str]:
        main, auxiliary = main_head(student), auxiliary_heads(student)
        pairs = {main: 'decode', **dict(zip(auxiliary, self.outputs[1:]))}
        alone = [name for name in auxiliary if name not in pairs]
        if alone:
            named = {**pairs, **dict.fromkeys(alone, 'decode')}
            logging.getLogger('mmseg_jml').warning(
                'No auxiliary head of the teacher is the partner of '
                f'{", ".join(alone)} of the student, which learns from the '
                'label alone, with label_weight as its factor. '
                f'outputs={named!r} lets it learn from the main output of the '
                'teacher.'
            )
        return pairs

    def __call__(self, inputs: Tensor, names: Iterable[str]) -> list[dict]:
        """Return the answer of each :class:`Teacher` to a batch."""
        return [teacher(inputs, names) for teacher in self.teachers]

    def check_finite(self, answers: Sequence[dict]) -> None:
        """Raise a FloatingPointError unless all logits are finite.

        This makes the host wait for the GPU.
        """
        for who, teacher, answer in zip(self._names, self.teachers, answers):
            for name, (logits, _) in answer.items():
                if bool(logits.isfinite().all()):
                    continue
                amp = teacher.amp
                hint = f', or amp={amp} is too coarse' * bool(amp)
                raise FloatingPointError(
                    f'Expected finite logits from output {name!r} of the '
                    f'teacher {who!r} but got NaN or infinity: the weights '
                    f'are damaged{hint}.'
                )

    def target(
        self,
        name: str,
        answers: Sequence[dict],
        output: StudentOutput,
        temperature: float,
    ) -> TeacherLogits:
        """Average an output of the teachers into a target of the student's.

        It has the size of the label. A single teacher's logits stay at the
        resolution of its head where the student's logits are smaller than the
        label too. The temperature divides the logits of all of them.
        """
        size, use_sigmoid = output.size, output.use_sigmoid
        targets = []
        for teacher, answer in zip(self.teachers, answers):
            logits, is_sigmoid = answer[name]
            align_corners = teacher.align_corners[name]
            stays_small = (
                len(answers) == 1  # an average needs them on one grid
                and output.is_small
                # a softmax of sigmoids is made at full size too
                and (not is_sigmoid or use_sigmoid)
                and logits.shape[2] <= size[0]
                and logits.shape[3] <= size[1]
            )
            if not stays_small and logits.shape[2:] != size:
                logits = F.interpolate(
                    logits, size, mode='bilinear', align_corners=align_corners
                )
            channels = output.logits.shape[1]
            target = teacher_target(
                logits, is_sigmoid, channels, use_sigmoid, temperature
            )
            if stays_small:
                target = replace(
                    target, size=size, align_corners=align_corners
                )
            targets.append(target)
        return average_teachers(targets, use_sigmoid, self.shares)
