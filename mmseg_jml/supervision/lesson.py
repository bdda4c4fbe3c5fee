"""What a student is taught in one iteration."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..kernels import Target
from .student_outputs import StudentOutput

__all__ = ['Lesson', 'SoftTarget', 'StudentPass']


class StudentPass(NamedTuple):
    """Images that went through the student, and what it said.

    Attributes:
        inputs (Tensor): (N, 3, H, W), preprocessed.
        data_samples (list[SegDataSample]): One for each image.
        outputs (dict[str, StudentOutput]): Its outputs by name.
    """

    inputs: Tensor
    data_samples: list
    outputs: dict[str, StudentOutput]


class SoftTarget(NamedTuple):
    """What the pixels of one student output should be.

    Attributes:
        target (Target): A target of :mod:`mmseg_jml.kernels`. The logits are
            divided by its ``temperature`` where it has one.
        weight (Tensor): (N, H, W), 0 where a pixel does not count.
        share (Tensor | float): Multiplies the losses, such as the share of
            pixels that count. Defaults to 1.0.
    """

    target: Target
    weight: Tensor
    share: Tensor | float = 1.0


class Lesson(NamedTuple):
    """What the student is to learn in one iteration.

    Attributes:
        student (StudentPass): The pass that the losses belong to.
        targets (dict[str, SoftTarget]): By the names of its outputs.
        figures (dict[str, Tensor]): More to log: scalars by their names.
            Those with 'loss' in the name are losses, with their weights.
    """

    student: StudentPass
    targets: dict[str, SoftTarget]
    figures: dict[str, Tensor]
