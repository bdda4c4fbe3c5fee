"""Tabulate, judge and draw what runs have found."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure, SubFigure
from PIL import Image
from rich.table import Table

from mmseg_jml.functional import dataset_scores, region_counts

from .runs import Run
from .scenes import SCENES

RARE = 4  # the "rare" classes are the last four
FIGURES = {
    'mIoU': 'mIoU',
    'mIoU of images': 'mIoUI',
    'mIoU of classes': 'mIoUC',
    'ECE': 'before/ECED',
    'ECE at T': 'after/ECED',
    'temperature T': 'temperature',
}
COLUMNS = 8
RAREST = 2  # scenes with one of so many rarest classes are shown
COLOURS = ('#999999', '#d62728', '#1f77b4', '#2ca02c', '#9467bd')
# For each name of runs, the scores of each seed.
Results = Mapping[str, Sequence[Mapping[str, float]]]


def read_all(folder: Path) -> np.ndarray:
    """Read all pictures of a folder, in the order of their names.

    Images are uint8 (N, H, W, 3), masks are (N, H, W).
    """
    paths = sorted(folder.iterdir())
    return np.stack([np.array(Image.open(path)) for path in paths])


def scores(run: Run) -> dict[str, float]:
    """Collect the IoU of each class, in percent, and the other figures."""
    folders = run.folder / 'predictions', SCENES / 'annotations/validation'
    masks = [torch.from_numpy(read_all(folder)) for folder in folders]
    classes = run.cfg.classes
    counts = region_counts(*masks, len(classes))
    ious = 100 * dataset_scores(counts)['IoU']
    figures = {name: run.figures[key] for name, key in FIGURES.items()}
    rare = ious[-RARE:].nanmean().item()
    return dict(zip(classes, ious.tolist()), rare=rare, **figures)


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
        columns = [[s[key] for s in group] for group in results.values()]
        bold = 'bold' if key in ('mIoU', 'rare') else None
        shown.add_row(key, *map(_cell, columns), style=bold)
    return shown


def _cell(values: Sequence[float], sign: str = '') -> str:
    mean, error = mean_and_error(values)
    return f'{mean:{sign}.1f} ± {error:.1f}'.replace(' ± nan', '')


def effects(results: Results, baselines: Mapping[str, str]) -> list[str]:
    """Say which differences are more than twice their standard error.

    Two sentences on each name that has a baseline: mIoU and rare classes.
    """
    lines = []
    for name, baseline in baselines.items():
        pairs = [*zip(results.get(name, []), results.get(baseline, []))]
        for key in ('mIoU', 'rare') if pairs else ():
            differences = [a[key] - b[key] for a, b in pairs]
            mean, error = mean_and_error(differences)
            verdict = 'better' if mean > 0 else 'worse'
            if not abs(mean) > 2 * error:
                verdict = 'no effect' if len(pairs) > 1 else 'one seed'
            found = f'{key} {_cell(differences, "+")}, {verdict}'
            lines.append(f'{name} against {baseline}: {found}')
    return lines


def rare_scenes(labels: np.ndarray, classes: int) -> list[int]:
    """Return the first scenes with one of the two rarest classes."""
    holds = (labels >= classes - RAREST).any((1, 2))
    return np.flatnonzero(holds)[:COLUMNS].tolist()


def draw(runs: Sequence[Run], results: Results, path: Path) -> None:
    """Draw predictions of some runs, and below them the IoU of each class."""
    heights = 1.2 * (2 + len(runs)), 2.8
    figure = Figure((1.2 * COLUMNS, sum(heights)), layout='constrained')
    above, below = figure.subfigures(2, height_ratios=heights)
    _draw_predictions(above, runs)
    _draw_bars(below, runs[0].cfg.classes, results)
    figure.savefig(path, dpi=110)


def _draw_predictions(figure: SubFigure, runs: Sequence[Run]) -> None:
    labels = read_all(SCENES / 'annotations/validation')
    shown = rare_scenes(labels, len(runs[0].cfg.classes))
    photos, labels = read_all(SCENES / 'images/validation'), labels[shown]
    palette = np.vstack([[0, 0, 0], colormaps['tab10'].colors])
    rows = {'image': photos[shown], 'truth': palette[labels]}
    for run in runs:
        masks = read_all(run.folder / 'predictions')[shown]
        rows[run.name] = palette[masks]
        # white on every third diagonal where the prediction is wrong
        hatch = np.indices(masks.shape)[1:].sum(0) % 3 == 0
        rows[run.name][(masks != labels) & hatch] = 1
    axes = figure.subplots(len(rows), len(shown), squeeze=False)
    for line, (name, pictures) in zip(axes, rows.items()):
        line[0].set_ylabel(name)
        for axis, picture in zip(line, pictures):
            axis.imshow(picture, interpolation='nearest')
            axis.set(xticks=[], yticks=[])
    title = f'the first {len(shown)} validation scenes that hold one of the'
    title = f'{title} {RAREST} rarest digits; hatched: wrong'
    figure.suptitle(title, fontsize='medium')


def _draw_bars(figure: SubFigure, classes: Sequence, results: Results) -> None:
    axis, width = figure.subplots(), 0.8 / len(results)
    for index, (name, group) in enumerate(results.items()):
        bars = [mean_and_error([s[c] for s in group]) for c in classes]
        means, errors = np.transpose(bars)
        places = np.arange(len(classes)) + (index + 0.5) * width - 0.4
        colour = COLOURS[index]
        axis.bar(places, means, width, yerr=errors, color=colour, label=name)
    axis.set_xticks(range(len(classes)), classes)
    axis.set(ylabel='IoU (%)', xlabel='class, from frequent to rare')
    axis.legend(ncols=len(results), loc='upper right', frameon=False)
