"""What a student is taught in one iteration."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..kernels import Target
from .student_outputs import StudentOutput

__all__ = ['Lesson', 'SoftTarget', 'StudentPass']


class StudentPass(NamedTuple):
    """Images that went through the student, and their logits.

    Attributes:
        inputs (Tensor): (N, 3, H, W), preprocessed.
        data_samples (list[SegDataSample]): One for each image.
        outputs (dict[str, StudentOutput]): The student's outputs by name.
    """

    inputs: Tensor
    data_samples: list
    outputs: dict[str, StudentOutput]


class SoftTarget(NamedTuple):
    """The soft label of one student output.

    Attributes:
        target (Target): A target of :mod:`mmseg_jml.kernels`. The student's
            logits are divided by its ``temperature`` where it has one.
        weight (Tensor): (N, H, W), the weight of each pixel; 0 ignores it.
        share (Tensor | float): Factor of the losses, such as the share of
            confident pixels. Defaults to 1.0.
    """

    target: Target
    weight: Tensor
    share: Tensor | float = 1.0


class Lesson(NamedTuple):
    """What the student is to learn in one iteration.

    Attributes:
        student (StudentPass): The pass that the losses belong to.
        targets (dict[str, SoftTarget]): Targets by the names of outputs.
        figures (dict[str, Tensor]): More scalars to log, by name. Those with
            'loss' in their name are optimised; they have their weights.
    """

    student: StudentPass
    targets: dict[str, SoftTarget]
    figures: dict[str, Tensor]
