"""Draw the predictions of runs, and their IoU of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from .report import Results, mean_and_error, read_masks
from .runs import Run

__all__ = ['draw', 'rare_scenes']

COLUMNS = 8
RAREST = 2  # scenes with one of so many rarest classes are shown
COLOURS = ('#999999', '#d62728', '#1f77b4', '#2ca02c', '#9467bd')


def rare_scenes(labels: np.ndarray, classes: int) -> list[int]:
    """Return the first scenes with one of the two rarest classes."""
    holds = (labels >= classes - RAREST).any((1, 2))
    return np.flatnonzero(holds)[:COLUMNS].tolist()


def draw(runs: Sequence[Run], results: Results, path: Path) -> None:
    """Draw predictions, and below them bars of the IoU of each class.

    Args:
        runs (Sequence[Run]): A finished run of each name.
        results (Results): The scores of each seed, by name.
        path (Path): The PNG file.
    """
    heights = 1.2 * (2 + len(runs)), 2.8
    figure = Figure((1.2 * COLUMNS, sum(heights)), layout='constrained')
    above, below = figure.subfigures(2, height_ratios=heights)
    _draw_predictions(above, runs)
    _draw_bars(below, runs[0].cfg.classes, results)
    figure.savefig(path, dpi=110)


def _draw_predictions(figure: SubFigure, runs: Sequence[Run]) -> None:
    scenes = runs[0].scenes
    labels = read_masks(scenes / 'annotations/validation')
    shown = rare_scenes(labels, len(runs[0].cfg.classes))
    photos = sorted((scenes / 'images/validation').iterdir())
    palette = np.vstack([[0, 0, 0], colormaps['tab10'].colors])
    rows = {'image': [np.array(Image.open(photos[i])) for i in shown]}
    rows['truth'] = palette[labels[shown]]
    for run in runs:
        masks = read_masks(run.folder / 'predictions')[shown]
        rows[run.name] = palette[masks]
        # white on every third diagonal where the prediction is wrong
        hatch = np.indices(masks.shape)[1:].sum(0) % 3 == 0
        rows[run.name][(masks != labels[shown]) & hatch] = 1
    axes = figure.subplots(len(rows), len(shown), squeeze=False)
    for line, (name, pictures) in zip(axes, rows.items()):
        line[0].set_ylabel(name)
        for axis, picture in zip(line, pictures):
            axis.imshow(picture, interpolation='nearest')
            axis.set(xticks=[], yticks=[])
    figure.suptitle(
        f'the first {len(shown)} validation scenes that hold one of the '
        f'{RAREST} rarest digits; hatched: wrong',
        fontsize='medium',
    )


def _draw_bars(
    figure: SubFigure, classes: Sequence[str], results: Results
) -> None:
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
