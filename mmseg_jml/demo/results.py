"""Measures trained runs and tabulates them."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from pathlib import Path

import mmengine
import mmseg
import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from mmseg.evaluation import IoUMetric
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from rich.table import Table
from torch import Tensor

from .. import __version__
from ..functional import (
    CalibrationOptions,
    CalibrationState,
    RegionCounts,
    calibration_figures,
    calibration_state,
    fine_grained_iou,
    region_counts,
)
from .runs import Run

# What the table shows besides IoU.
FIGURES = {
    'mIoUI': 'mIoU of an image',
    'mIoUI5': '... of the worst 5 %',
    'mIoUC': 'mIoU of a class in an image',
    'ECED': 'calibration error (ECE)',
    'SCED': '... of each class (SCE)',
}

__all__ = [
    'Result',
    'by_loss',
    'mean_and_spread',
    'measure',
    'table',
    'write_curves',
    'write_scores',
]


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Args:
        run (Run): The run.
        classes (tuple[str, ...]): Names of the C classes.
        ious (np.ndarray): IoU of each class in percent, (C, ).
        curve (dict[int, float]): mIoU in percent after iterations.
        predictions (np.ndarray): Predicted classes of the validation images,
            integers (N, H, W).
        figures (dict[str, float], optional): What the evaluators of this
            package find, by name. Defaults to None.
        confidence (Tensor, optional): (3, B), what a reliability diagram
            shows. Defaults to None.
    """

    run: Run
    classes: tuple[str, ...]
    ious: np.ndarray
    curve: dict[int, float]
    predictions: np.ndarray
    figures: dict[str, float] | None = None
    confidence: Tensor | None = None

    @property
    def miou(self) -> float:
        """float: Mean over the classes that occur, in percent."""
        return float(np.nanmean(self.ious))


def measure(run: Run) -> Result:
    """Predicts the validation images with the trained weights.

    Args:
        run (Run): A finished run.

    Returns:
        Result: The result.
    """
    cfg = Config.fromfile(run.config)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).to(get_device()).eval()
    load_checkpoint(model, str(run.checkpoint), 'cpu', logger='silent')
    loader = Runner.build_dataloader(cfg.val_dataloader, seed=0)
    with torch.no_grad():
        samples = [s for batch in loader for s in model.test_step(batch)]
    classes = loader.dataset.metainfo['classes']
    areas = [
        IoUMetric.intersect_and_union(
            sample.pred_sem_seg.data.cpu(),
            sample.gt_sem_seg.data.cpu(),
            len(classes),
            ignore_index=255,
        )
        for sample in samples
    ]
    metrics = IoUMetric.total_area_to_metrics(*map(sum, zip(*areas)))
    ious = 100 * metrics['IoU']
    curve = {v['step']: v['mIoU'] for v in run.scalars() if 'mIoU' in v}
    curve[run.iters] = float(np.nanmean(ious))
    predictions = [s.pred_sem_seg.data[0].cpu().numpy() for s in samples]
    return Result(
        run,
        tuple(classes),
        ious,
        curve,
        np.stack(predictions),
        *_evaluate(samples, len(classes)),
    )


def _evaluate(
    samples: Sequence[SegDataSample], classes: int
) -> tuple[dict[str, float], Tensor]:
    """Fine-grained IoU and calibration, and the bins of confidence."""
    fields = [
        (s.seg_logits.data, s.gt_sem_seg.data[0], s.pred_sem_seg.data[0])
        for s in samples
    ]
    counts = [
        region_counts(prediction[None], label[None], classes)
        for _, label, prediction in fields
    ]
    counts = RegionCounts(*(torch.cat(parts).cpu() for parts in zip(*counts)))
    state = reduce(
        CalibrationState.plus, (calibration_state(*one) for one in fields)
    )
    figures = fine_grained_iou(counts) | calibration_figures([state])
    return figures, state.bins(CalibrationOptions())[0]


def by_loss(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Groups results, in the order in which the losses first appear."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.run.loss, []).append(result)
    return groups


def table(results: Sequence[Result]) -> Table:
    """Tabulates the mean of each class over seeds, with the spread.

    Args:
        results (Sequence[Result]): The results of all losses and seeds.

    Returns:
        Table: One row for each class, one for their mean, and one for each
        of some more figures. The spread is the standard deviation of a sample
        (its divisor is seeds - 1).
    """
    groups = by_loss(results)
    seeds = max(map(len, groups.values()))
    spread = 'mean ± standard deviation over' if seeds > 1 else 'of'
    tabulated = Table(
        title=f'In percent, {spread} {seeds} seed{"s"[: seeds > 1]}',
        title_justify='left',
    )
    tabulated.add_column('class')
    for loss in groups:
        tabulated.add_column(loss, justify='right')
    for index, name in enumerate(results[0].classes):
        tabulated.add_row(
            name,
            *(
                mean_and_spread([result.ious[index] for result in group])
                for group in groups.values()
            ),
            end_section=index == len(results[0].classes) - 1,
        )
    tabulated.add_row(
        'mIoU',
        *(
            mean_and_spread([result.miou for result in group])
            for group in groups.values()
        ),
        style='bold',
        end_section=True,
    )
    if all(result.figures for result in results):
        for key, name in FIGURES.items():
            tabulated.add_row(
                name,
                *(
                    mean_and_spread([result.figures[key] for result in group])
                    for group in groups.values()
                ),
            )
    return tabulated


def mean_and_spread(values: Sequence[float]) -> str:
    """Writes mean ± standard deviation, of one value itself."""
    mean = f'{np.mean(values):.1f}'
    if len(values) == 1:
        return mean
    return f'{mean} ± {np.std(values, ddof=1):4.1f}'


def write_scores(results: Sequence[Result], path: Path) -> None:
    """Writes a line for each run: its IoUs, and what they were measured with.

    Args:
        results (Sequence[Result]): The results.
        path (Path): The CSV file.
    """
    circumstances = dict(
        date=date.today().isoformat(),
        device=_device(),
        python=platform.python_version(),
        torch=torch.__version__,
        mmengine=mmengine.__version__,
        mmseg=mmseg.__version__,
        mmseg_jml=__version__,
    )
    lines = [
        dict(
            loss=result.run.loss,
            seed=result.run.seed,
            iters=result.run.iters,
            mIoU=round(result.miou, 2),
            **dict(zip(result.classes, result.ious.round(2))),
            **{
                key: round(value, 4)
                for key, value in (result.figures or {}).items()
            },
            **circumstances,
        )
        for result in results
    ]
    _write_csv(lines, path)


def write_curves(results: Sequence[Result], path: Path) -> None:
    """Writes the learning curves, a line for each validation.

    Args:
        results (Sequence[Result]): The results.
        path (Path): The CSV file.
    """
    lines = [
        dict(
            loss=result.run.loss,
            seed=result.run.seed,
            iteration=step,
            mIoU=round(miou, 2),
        )
        for result in results
        for step, miou in sorted(result.curve.items())
    ]
    _write_csv(lines, path)


def _write_csv(lines: Sequence[dict], path: Path) -> None:
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith('model name'):
                name = line.partition(': ')[2]
                break
    return f'{name}, {os.cpu_count()} cores, one thread for each run'
