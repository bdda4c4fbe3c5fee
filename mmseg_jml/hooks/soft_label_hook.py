"""Training with soft labels that are stored with the data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.model import BaseModel
from mmseg.structures import SegDataSample
from torch import Tensor

from ..functional import mean_vote
from ..kernels import Probabilities
from ..registry import HOOKS
from ..supervision.lesson import Lesson, SoftTarget, StudentOutput, StudentPass
from ..supervision.schedule import Number
from ..supervision.soft_losses import LossEntry
from ..supervision.soft_supervision import SoftSupervision

__all__ = ['SoftLabelHook']


@HOOKS.register_module()
class SoftLabelHook(SoftSupervision):
    """Let any stock segmentor learn from soft labels of its data set.

    A soft label is a map of probabilities, or the masks of several annotators,
    whose votes are averaged pixel by pixel: with two votes for 'road' and one
    for 'sidewalk' the target is 2/3 and 1/3. :class:`LoadSoftLabels` and
    :class:`PackSoftLabels` bring them into the batch. By default they replace
    the label, whose losses are logged with a weight of 0.

    Pixels without a soft label are ignored: those that every annotator left
    out, those whose probabilities are all 0, and padding. The options ``loss``
    and ``auxiliary_loss`` are those of
    :class:`~mmseg_jml.hooks.DistillationHook`.

    Args:
        outputs (Sequence[str], optional): The outputs that learn, by the
            names of :class:`StudentOutputs`. None means the main output and
            all auxiliary heads. Defaults to None.
        label_weight (float | dict): Factor of the losses of the student's own
            config, or a schedule. Defaults to 0.0.
        soft_weight (float | dict): The same for the losses against soft
            labels. Defaults to 1.0.

    Raises:
        TypeError: If a weight is neither a number nor a schedule.
        ValueError: If a weight is negative; in training, if samples have no
            soft label, or one of another number of classes.

    Examples:
        >>> custom_hooks = [dict(type='mmseg_jml.SoftLabelHook')]
    """

    source = 'soft'

    def __init__(
        self,
        loss: LossEntry | None = None,
        auxiliary_loss: LossEntry | None = None,
        outputs: Sequence[str] | None = None,
        label_weight: Number = 0.0,
        soft_weight: Number = 1.0,
    ) -> None:
        super().__init__(
            loss, auxiliary_loss, outputs, label_weight, soft_weight
        )

    def teach(self, segmentor: BaseModel, labelled: StudentPass) -> Lesson:
        """Collect the soft labels of a batch from its data samples."""
        classes, targets = segmentor.num_classes, {}
        for name, output in self.select(labelled.outputs).items():
            samples = labelled.data_samples
            labels = [_probabilities(s, output, classes) for s in samples]
            label = torch.stack(labels)
            weight = (label.sum(1) > 0).float()
            if output.logits.shape[1] == 1:
                label = label[:, 1:]
            targets[name] = SoftTarget(Probabilities(label), weight)
        return Lesson(labelled, targets, {})


def _probabilities(
    sample: SegDataSample, output: StudentOutput, num_classes: int
) -> Tensor:
    """Return the soft label (C, H, W) of an image, 0 where it has none."""
    if 'soft_label' not in sample:
        raise ValueError(
            'Expected data samples with a soft_label, as LoadSoftLabels and '
            'PackSoftLabels in the pipeline give them, but got '
            f'{", ".join(sample.keys()) or "none"}.'
        )
    value = sample.soft_label.data
    if not value.is_floating_point():
        value = mean_vote(value, num_classes, output.ignore_index)
    if len(value) != num_classes:
        raise ValueError(
            f'Expected soft labels of {num_classes} classes but got '
            f'{len(value)}.'
        )
    # batches are padded on the right and at the bottom
    (height, width), size = value.shape[1:], output.label.shape[1:]
    return F.pad(value, (0, size[1] - width, 0, size[0] - height))
