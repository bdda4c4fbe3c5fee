"""What a student is taught in one iteration."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ..kernels import Target

__all__ = ['Lesson', 'SoftTarget', 'StudentOutput', 'StudentPass']


class StudentOutput(NamedTuple):
    """Logits of one output, and the label that they were compared with.

    Attributes:
        logits (Tensor): (N, C, h, w), with gradient, of the label's size or,
            where :class:`HeadResolutionHook` is in use, perhaps smaller.
        label (Tensor): (N, H, W) integers.
        ignore_index (int): Label of pixels that do not count.
        use_sigmoid (bool): Whether each class has a sigmoid of its own.
        align_corners (bool): How smaller logits are upsampled, as for
            ``F.interpolate``.
    """

    logits: Tensor
    label: Tensor
    ignore_index: int
    use_sigmoid: bool
    align_corners: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """The height and width of the label."""
        height, width = self.label.shape[1:]
        return height, width

    @property
    def is_small(self) -> bool:
        """Whether the logits are smaller than the label."""
        return self.logits.shape[2:] != self.size

    def upsampled(self) -> StudentOutput:
        """Return the output with logits of the label's size."""
        if not self.is_small:
            return self
        logits = F.interpolate(
            self.logits,
            self.size,
            mode='bilinear',
            align_corners=self.align_corners,
        )
        return self._replace(logits=logits)

    def counted(self) -> Tensor:
        """Return (N, H, W) floats: 1 where the label counts, else 0."""
        return (self.label != self.ignore_index).float()


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
