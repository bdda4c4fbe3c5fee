"""Tabulate the scores of runs, and judge their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.table import Table

from .runs import Run

__all__ = ['class_ious', 'effects', 'scores', 'table', 'typical']

RARE = 4  # the "rare" classes are the last four
FIGURES = {
    'mIoU': 'mIoU',
    'mIoU of images': 'mIoUI',
    'mIoU of classes': 'mIoUC',
    'ECE': 'before/ECED',
    'ECE at T': 'after/ECED',
    'temperature T': 'temperature',
}
# For each name of runs, the scores of each seed.
Results = Mapping[str, Sequence[Mapping[str, float]]]


def class_ious(
    predictions: np.ndarray, labels: np.ndarray, classes: int
) -> np.ndarray:
    """Compute the IoU of each class in percent, NaN if it is absent."""
    pairs = classes * labels.astype(int) + predictions
    counts = np.bincount(pairs.ravel(), minlength=classes**2)
    counts = counts.reshape(classes, classes)
    hits = counts.diagonal()
    union = counts.sum(0) + counts.sum(1) - hits
    return 100 * hits / np.where(union, union, np.nan)


def read_masks(folder: Path) -> np.ndarray:
    """Read all masks of a folder, uint8 (N, H, W), in the order of names."""
    return np.stack(
        [np.array(Image.open(p)) for p in sorted(folder.iterdir())]
    )


def scores(run: Run) -> dict[str, float]:
    """Collect the scores of a finished run, in percent.

    Args:
        run (Run): The run.

    Returns:
        dict[str, float]: IoU of each class, 'rare' as the mean IoU of the
        four rarest, and the figures of the evaluators.
    """
    labels = read_masks(run.scenes / 'annotations/validation')
    predictions = read_masks(run.folder / 'predictions')
    ious = class_ious(predictions, labels, len(run.cfg.classes))
    figures = {name: run.figures[key] for name, key in FIGURES.items()}
    return dict(
        zip(run.cfg.classes, ious), rare=np.nanmean(ious[-RARE:]), **figures
    )


def typical(runs: Sequence[Run]) -> Run:
    """Return the run whose mIoU is in the middle."""
    return sorted(runs, key=lambda run: run.figures['mIoU'])[len(runs) // 2]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Compute the mean and its standard error, NaN for a single value."""
    if len(values) == 1:
        return values[0], float('nan')
    return np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5


def table(results: Results) -> Table:
    """Tabulate means over seeds, with a row per score, a column per name."""
    seeds = max(map(len, results.values()))
    errors = f'mean ± standard error over {seeds} seeds' if seeds > 1 else ''
    shown = Table('', title=f'Percent {errors}')
    for name in results:
        shown.add_column(name, justify='right')
    for key in next(iter(results.values()))[0]:
        cells = [
            '{:.1f} ± {:.1f}'.format(*mean_and_error([s[key] for s in group]))
            for group in results.values()
        ]
        bold = 'bold' if key in ('mIoU', 'rare') else None
        cells = [cell.replace(' ± nan', '') for cell in cells]
        shown.add_row(key, *cells, style=bold)
    return shown


def effects(results: Results, baselines: Mapping[str, str]) -> list[str]:
    """Say which differences are at least twice their standard error.

    Args:
        results (Results): The scores of each seed, by name.
        baselines (Mapping): The name that a name is compared with, seed by
            seed.

    Returns:
        list[str]: A sentence on the mIoU and one on the rare classes of each
        name that has a baseline.
    """
    lines = []
    for name, baseline in baselines.items():
        pairs = [*zip(results.get(name, []), results.get(baseline, []))]
        for key in ('mIoU', 'rare') if pairs else ():
            mean, error = mean_and_error([a[key] - b[key] for a, b in pairs])
            verdict = 'better' if mean > 0 else 'worse'
            if not abs(mean) >= 2 * error:
                verdict = 'no effect' if len(pairs) > 1 else 'one seed'
            line = (
                f'{name} against {baseline}: {key} {mean:+.1f} ± {error:.1f}'
            )
            lines.append(f'{line}, {verdict}'.replace(' ± nan', ''))
    return lines
