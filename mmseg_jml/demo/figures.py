"""Draws what the runs predicted and how they learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from ..datasets import DigitScenesDataset
from ..visualization import reliability_diagram
from .results import Result, by_loss

__all__ = ['draw_curves', 'draw_predictions', 'draw_reliability']

COLUMNS = 8
COLOURS = ('#666666', '#d62728', '#1f77b4')


def draw_predictions(
    results: Sequence[Result], validation: DigitScenesDataset, path: Path
) -> None:
    """Draws image, truth and each loss's prediction.

    Nothing is picked by what came out: the scenes are, for each of the rarest
    classes, the one that shows most of it, and the predictions are those of
    each loss's first seed.

    Args:
        results (Sequence[Result]): The results.
        validation (DigitScenesDataset): The images that were predicted.
        path (Path): The PNG file.
    """
    meta = validation.metainfo
    palette = np.array(meta['palette'], np.uint8)
    firsts = [group[0] for group in by_loss(results).values()]
    rows = ['image', 'truth', *(result.run.loss for result in firsts)]
    infos = [validation.get_data_info(i) for i in range(len(validation))]
    truths = [np.array(Image.open(info['seg_map_path'])) for info in infos]
    shown = _scenes_of_rare_classes(truths, len(palette))
    figure = Figure(
        figsize=(1.2 * len(shown), 1.2 * len(rows) + 0.5),
        layout='constrained',
    )
    axes = figure.subplots(len(rows), len(shown), squeeze=False)
    for column, index in zip(axes.T, shown):
        pictures = [
            np.array(Image.open(infos[index]['img_path'])),
            palette[truths[index]],
            *(palette[result.predictions[index]] for result in firsts),
        ]
        for axis, picture in zip(column, pictures):
            axis.imshow(picture, interpolation='nearest')
            axis.set(xticks=[], yticks=[])
    for axis, name in zip(axes[:, 0], rows):
        axis.set_ylabel(name)
    figure.legend(
        handles=[
            Patch(color=colour / 255, label=name)
            for colour, name in zip(palette, meta['classes'])
        ],
        loc='outside lower center',
        ncols=len(palette),
        frameon=False,
        fontsize='small',
        handlelength=0.8,
        handletextpad=0.4,
        columnspacing=1,
    )
    figure.savefig(path, dpi=100)


def _scenes_of_rare_classes(
    truths: Sequence[np.ndarray], num_classes: int
) -> list[int]:
    """Returns the scenes that show most of the last classes, one of each."""
    pixels = np.array(
        [np.bincount(t.ravel(), minlength=num_classes) for t in truths]
    )
    shown: list[int] = []
    for label in reversed(range(num_classes)):
        pixels[shown] = -1
        if len(shown) < min(COLUMNS, len(truths)):
            shown.append(int(pixels[:, label].argmax()))
    return shown[::-1]


def draw_curves(results: Sequence[Result], path: Path) -> None:
    """Draws validation mIoU over iterations, mean and spread over seeds.

    Args:
        results (Sequence[Result]): The results.
        path (Path): The PNG file.
    """
    figure = Figure(figsize=(6, 4), layout='constrained')
    axis = figure.subplots()
    for colour, (loss, group) in zip(COLOURS, by_loss(results).items()):
        steps = sorted(set.intersection(*(set(r.curve) for r in group)))
        points = np.array([[r.curve[step] for step in steps] for r in group])
        mean = points.mean(axis=0)
        axis.plot(steps, mean, color=colour, marker='o', label=loss)
        if len(group) > 1:
            spread = points.std(axis=0, ddof=1)
            axis.fill_between(
                *(steps, mean - spread, mean + spread),
                color=colour,
                alpha=0.2,
                linewidth=0,
            )
    axis.set(xlabel='iteration', ylabel='validation mIoU (%)')
    seeds = len(results) // len(by_loss(results))
    axis.set_title(
        f'mean and standard deviation over {seeds} seeds'
        if seeds > 1
        else 'one seed',
        fontsize='medium',
    )
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)


def draw_reliability(results: Sequence[Result], path: Path) -> None:
    """Draws a reliability diagram for each loss, over all of its seeds.

    Args:
        results (Sequence[Result]): The results.
        path (Path): The PNG file.
    """
    groups = by_loss(results)
    bins = [sum(r.confidence for r in group) for group in groups.values()]
    Image.fromarray(reliability_diagram(bins, list(groups))).save(path)
