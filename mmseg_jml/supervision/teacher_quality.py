"""Evaluation of a teacher, and a warning if it hardly beats chance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from mmseg.structures import SegDataSample
from torch import nn

from ..functional import RegionCounts, chance_iou, mean_iou, region_counts
from ..kernels import TeacherLogits
from ..random_state import random_state_kept
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
        found, chance = float(mean_iou(counts)), float(chance_iou(counts))
        if found >= chance + _LEAST_GAIN * (1 - chance):
            return
        self._warned = True
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
    runner: Runner, model: nn.Module, name: str, who: str
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

    def look(samples: Sequence[SegDataSample]) -> None:
        for sample in samples:
            if 'gt_sem_seg' in sample:
                label = sample.gt_sem_seg.data
                found = sample.pred_sem_seg.data.to(label)
                counts = region_counts(found, label, classes, None, False)
                quality.add(counts)

    log = logging.getLogger('mmseg_jml').info
    with random_state_kept():
        log(f'Validation of the teacher {who}:')
        figures = evaluate_beside(runner, model, 'val', name, look)
    text = ', '.join(f'{key}: {value:.2f}' for key, value in figures.items())
    log(f'The teacher {who} has {text}.')
    quality.judge()


@torch.no_grad()
def evaluate_beside(
    runner: Runner,
    model: nn.Module,
    split: str,
    name: str,
    look: Callable[[Sequence], object] | None = None,
) -> dict[str, float]:
    """Evaluate a model as a loop evaluates that of the run, without hooks.

    Args:
        runner (Runner): The runner.
        model (nn.Module): The other model, in evaluation mode.
        split (str): 'val' or 'test'.
        name (str): Prefix of its metrics, such as ``teacher/mIoU``, and part
            of the paths of what they write.
        look (Callable, optional): Function of the data samples of each batch,
            predictions included. Defaults to None.
    """
    loop = getattr(runner, f'{split}_loop')
    device = next(model.parameters()).device.type
    autocast = torch.autocast(device, enabled=getattr(loop, 'fp16', False))
    with _named(name, loop.evaluator), autocast:
        for batch in loop.dataloader:
            samples = model.test_step(batch)
            if look is not None:
                look(samples)
            loop.evaluator.process(data_samples=samples, data_batch=batch)
        found = loop.evaluator.evaluate(len(loop.dataloader.dataset))
    for key, value in found.items():
        runner.message_hub.update_scalar(f'{split}/{key}', value)
    return found


@contextmanager
def _named(name: str, evaluator: Evaluator) -> Iterator[None]:
    """Give metrics a prefix, and places of their own to write to."""
    kept = []
    for metric in evaluator.metrics:
        moved = dict(prefix='/'.join(filter(None, (name, metric.prefix))))
        for key in _PLACES:
            if getattr(metric, key, None) is not None:
                moved[key] = _beside(Path(getattr(metric, key)), key, name)
        kept += ((metric, key, getattr(metric, key)) for key in moved)
        for key, value in moved.items():
            setattr(metric, key, value)
    try:
        yield
    finally:
        for metric, key, value in kept:
            setattr(metric, key, value)


def _beside(place: Path, key: str, name: str) -> str:
    """Return the folder of this name in a place, or a file's path in it."""
    is_file = key == 'out_file_path'
    folder = (place.parent if is_file else place) / name
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / place.name if is_file else folder)
