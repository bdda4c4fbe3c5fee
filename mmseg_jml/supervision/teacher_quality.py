"""Evaluation of a teacher, and a warning if it hardly beats chance."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmseg.structures import SegDataSample

from ..functional import (
    RegionCounts,
    chance_iou,
    gain_over_chance,
    mean_iou,
    region_counts,
)
from ..kernels import TeacherLogits
from ..random_state import random_state_kept
from ..stand_in import replaced
from .lesson import StudentOutput

__all__ = [
    'TeacherQuality',
    'evaluate_beside',
    'target_counts',
    'validate_teacher',
]

# Share of the way from chance to 1, below which a teacher is warned of.
_LEAST_GAIN = 0.05
# The attributes of mmengine's and mmseg's metrics with a place to write to.
_PLACES = 'output_dir', 'out_file_path'


class TeacherQuality:
    """Measure the mIoU of a teacher, and warn once if it is that of chance.

    Chance is :func:`mmseg_jml.functional.chance_iou`: the mIoU of the same
    predictions, shuffled over the pixels. The warning comes if the mIoU
    covers less than 5 % of the way from chance to 1: with a chance of 20 %,
    if it is below 24 %. Labels of a single class tell nothing. The warning
    names the teacher, ``who``, and the data, ``where``.
    """

    def __init__(self, who: str, where: str) -> None:
        self._who, self._where = who, where
        self._counts: RegionCounts | None = None
        self._warned = False

    def add(self, counts: RegionCounts) -> None:
        """Add the counts of a batch, without waiting for a GPU."""
        counts = counts.total()
        if self._counts is not None:
            counts = self._counts.plus(counts)
        self._counts = counts

    def judge(self) -> None:
        """Warn if there is a reason, and start to count anew.

        This makes the host wait for the GPU.
        """
        counts, self._counts = self._counts, None
        if counts is None or self._warned:
            return
        if int((counts.labelled > 0).sum()) < 2:
            return
        if gain_over_chance(counts) >= _LEAST_GAIN:
            return
        self._warned = True
        found, chance = mean_iou(counts), chance_iou(counts)
        logging.getLogger('mmseg_jml').warning(
            f'The teacher {self._who} has an mIoU of {100 * found:.2f} on '
            f'{self._where}; its predictions, shuffled over the pixels, '
            f'would have {100 * chance:.2f}. It has nothing to teach. Usual '
            'reasons: mean, std or order of the colours in its '
            'data_preprocessor, another order of the classes, or '
            'reduce_zero_label.'
        )


@torch.no_grad()
def target_counts(
    target: TeacherLogits, output: StudentOutput
) -> RegionCounts:
    """Compare the teacher's most probable classes with the label.

    The pixels that the label ignores do not count. Logits that are smaller
    than the label are compared with its nearest pixels.
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
    runner: Runner, model: BaseModel, name: str, who: str
) -> None:
    """Evaluate a teacher on the validation set, and log its metrics.

    ``name`` is the prefix of the metrics; messages call the teacher ``who``.
    Random numbers go on as if nothing had been evaluated. Without a
    validation in the run a ValueError is raised.
    """
    if runner.val_loop is None:
        raise ValueError(
            'Expected a run with val_dataloader, val_evaluator and val_cfg '
            'for validate_teacher=True but got none.'
        )
    quality = TeacherQuality(who, 'the validation set')
    classes = max(model.num_classes, 2)

    def count(
        model: BaseModel, args: tuple, samples: Sequence[SegDataSample]
    ) -> None:
        for sample in samples:
            if 'gt_sem_seg' in sample:
                label = sample.gt_sem_seg.data
                found = sample.pred_sem_seg.data.to(label)
                counts = region_counts(found, label, classes, None, False)
                quality.add(counts)

    log = logging.getLogger('mmseg_jml').info
    with random_state_kept(), model.register_forward_hook(count):
        log(f'Validation of the teacher {who}:')
        figures = evaluate_beside(runner, model, 'val', name)
    text = ', '.join(f'{key}: {value:.2f}' for key, value in figures.items())
    log(f'The teacher {who} has {text}.')
    quality.judge()


@torch.no_grad()
def evaluate_beside(
    runner: Runner, model: BaseModel, split: str, name: str
) -> dict[str, float]:
    """Evaluate a model as a loop evaluates that of the run, without hooks.

    The model is in evaluation mode, the split 'val' or 'test'. The name is the
    prefix of the metrics, such as ``teacher/mIoU``, and part of the paths of
    what they write.
    """
    loop = getattr(runner, f'{split}_loop')
    device = next(model.parameters()).device.type
    with ExitStack() as stack:
        for metric in loop.evaluator.metrics:
            stack.enter_context(replaced(metric, **_own(metric, name)))
        stack.enter_context(
            torch.autocast(device, enabled=getattr(loop, 'fp16', False))
        )
        for batch in loop.dataloader:
            samples = model.test_step(batch)
            loop.evaluator.process(data_samples=samples, data_batch=batch)
        found = loop.evaluator.evaluate(len(loop.dataloader.dataset))
    for key, value in found.items():
        runner.message_hub.update_scalar(f'{split}/{key}', value)
    return found


def _own(metric: BaseMetric, name: str) -> dict[str, Any]:
    """Return a prefix and places to write to with a name in them."""
    own = dict(prefix='/'.join(filter(None, (name, metric.prefix))))
    for key in _PLACES:
        if getattr(metric, key, None) is not None:
            place = Path(getattr(metric, key))
            file = place.name if key == 'out_file_path' else ''
            folder = (place.parent if file else place) / name
            folder.mkdir(parents=True, exist_ok=True)
            own[key] = str(folder / file)
    return own
