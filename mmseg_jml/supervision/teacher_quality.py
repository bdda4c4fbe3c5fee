"""The mIoU of a teacher, and a warning if it might as well guess."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.structures import SegDataSample
from torch import nn

from ..functional import RegionCounts, chance_iou, mean_iou, region_counts
from ..kernels import TeacherLogits
from ..random_state import random_state_kept
from .student_outputs import StudentOutput
from .teacher_evaluation import evaluate_beside

__all__ = ['TeacherQuality', 'target_counts', 'validate_teacher']

# Share of the way from chance to 1, below which a teacher is warned of.
_LEAST_GAIN = 0.05


class TeacherQuality:
    """Measure the mIoU of a teacher, and warn once if it is that of chance.

    Chance is :func:`mmseg_jml.functional.chance_iou`: the mIoU of the same
    predictions, shuffled over the pixels. The warning comes if the mIoU
    covers less than 5 % of the way from chance to 1: with a chance of 20 %,
    if it is below 24 %. Labels of a single class tell nothing.

    Args:
        who (str): Name of the teacher in the warning.
        where (str): Name of the data in the warning.
    """

    def __init__(self, who: str, where: str) -> None:
        self._who, self._where = who, where
        self._counts: RegionCounts | None = None
        self._warned = False

    def add(self, counts: RegionCounts) -> None:
        """Add the counts of a batch, without waiting for a GPU."""
        old, counts = self._counts, counts.total()
        self._counts = counts if old is None else old.plus(counts)

    def judge(self) -> None:
        """Warn if there is a reason, and start to count anew.

        This makes the host wait for the GPU.
        """
        counts, self._counts = self._counts, None
        if counts is None or self._warned:
            return
        if int((counts.labelled > 0).sum()) < 2:
            return
        found, chance = float(mean_iou(counts)), float(chance_iou(counts))
        if found >= chance + _LEAST_GAIN * (1 - chance):
            return
        self._warned = True
        print_log(
            f'The teacher {self._who} has an mIoU of {100 * found:.2f} on '
            f'{self._where}; its predictions, shuffled over the pixels, '
            f'would have {100 * chance:.2f}. It has nothing to teach. Usual '
            'reasons: mean, std or order of the colours in its '
            'data_preprocessor, another order of the classes, or '
            'reduce_zero_label.',
            logger='current',
            level=logging.WARNING,
        )


@torch.no_grad()
def target_counts(
    target: TeacherLogits, output: StudentOutput
) -> RegionCounts:
    """Compare the teacher's most probable classes with the label.

    Args:
        target (TeacherLogits): The teacher's logits. If they are smaller than
            the label, they are compared with the label's nearest pixels.
        output (StudentOutput): The output that learns, with the label.

    Returns:
        RegionCounts: Counts of the pixels that the label does not ignore.
    """
    value, label = target.value, output.label
    if value.shape[1] == 1:
        value = torch.cat([torch.zeros_like(value), value], 1)
    if value.shape[2:] != label.shape[1:]:
        label = F.interpolate(
            label[:, None].float(), value.shape[2:], mode='nearest-exact'
        )[:, 0].long()
    return region_counts(
        value.max(1)[1],  # takes half the time of argmax() on CPUs
        label,
        value.shape[1],
        output.ignore_index,
        check=False,
    )


def validate_teacher(
    runner: Runner, model: nn.Module, name: str, who: str
) -> None:
    """Evaluate a teacher on the validation set, and log its metrics.

    Random numbers go on as if nothing had been evaluated.

    Args:
        runner (Runner): The runner, before its first iteration.
        model (nn.Module): The teacher, in evaluation mode.
        name (str): Prefix of its metrics.
        who (str): Name of the teacher in messages.

    Raises:
        ValueError: If the run has no validation.
    """
    if runner.val_loop is None:
        raise ValueError(
            'Expected a run with val_dataloader, val_evaluator and val_cfg '
            'for validate_teacher=True but got none.'
        )
    quality = TeacherQuality(who, 'the validation set')
    classes = max(model.num_classes, 2)

    def look(samples: Sequence[SegDataSample]) -> None:
        for sample in samples:
            if 'gt_sem_seg' in sample:
                label = sample.gt_sem_seg.data
                found = sample.pred_sem_seg.data.to(label)
                counts = region_counts(found, label, classes, None, False)
                quality.add(counts)

    with random_state_kept():
        print_log(f'Validation of the teacher {who}:', logger='current')
        figures = evaluate_beside(runner, model, 'val', name, look)
    told = ', '.join(f'{key}: {value:.2f}' for key, value in figures.items())
    print_log(f'The teacher {who} has {told}.', logger='current')
    quality.judge()
