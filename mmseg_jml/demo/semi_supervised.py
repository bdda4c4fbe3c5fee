"""What unlabelled images add: a table, and how pseudo labels develop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from rich.table import Table

from .figures import COLOURS
from .results import Result, by_loss, mean_and_spread
from .runs import Run

__all__ = ['draw_training', 'tabulate']

# What the log of a run says of its pseudo labels.
CURVES = {
    'pseudo_confident': 'share of confident pixels',
    'pseudo_mIoU': 'mIoU of the pseudo labels (%)',
}
PICTURES = 'soft_label_decode_pseudo_*.png'


def tabulate(
    results: Sequence[Result], shares: Sequence[str], names: Sequence[str]
) -> Table:
    """Tabulates validation mIoU, with the spread over seeds.

    Args:
        results (Sequence[Result]): Of runs whose loss is called by a share of
            the labels, a space and a name.
        shares (Sequence[str]): A pair of columns for each.
        names (Sequence[str]): A row for each; the first is compared with.

    Returns:
        Table: Means in percent, with the standard deviation of a sample, and
        how much more they are than those of the first row.
    """
    groups = by_loss(results)
    seeds = max(map(len, groups.values()))
    table = Table(
        title=f'mIoU in percent over {seeds} seed{"s"[: seeds > 1]}, '
        'by the share of labels',
        title_justify='left',
    )
    table.add_column('pseudo labels')
    for share in shares:
        table.add_column(share.replace('-', '/'), justify='right')
        table.add_column('gain', justify='right')
    for name in names:
        cells = []
        for share in shares:
            values, base = (
                [result.miou for result in groups[f'{share} {one}']]
                for one in (name, names[0])
            )
            gain = np.mean(values) - np.mean(base)
            more = '' if name == names[0] else f'{gain:+.1f}'
            cells += [mean_and_spread(values), more]
        table.add_row(name, *cells)
    return table


def draw_training(runs: Sequence[Run], path: Path) -> None:
    """Draws how sure and how right pseudo labels are over the training.

    Above, the curves of each run, mean over seeds; below, pictures that the
    last run with soft labels drew of its unlabelled images.

    Args:
        runs (Sequence[Run]): Finished runs.
        path (Path): The PNG file.
    """
    curves = _curves(runs)
    pictures = next(filter(None, map(_pictures, reversed(runs))), [])
    heights = [4, *[2.6] * len(pictures)]
    figure = Figure(figsize=(11, sum(heights)), layout='constrained')
    upper, *lower = figure.subfigures(
        len(heights), squeeze=False, height_ratios=heights
    ).flatten()
    for axis, (key, title) in zip(upper.subplots(1, 2), CURVES.items()):
        for colour, style, (name, one) in zip(
            *_styles(len(curves)), curves.items()
        ):
            axis.plot(*one[key], style, color=colour, label=name)
        axis.set(xlabel='iteration', ylabel=title)
        axis.grid(alpha=0.3)
    axis.legend(fontsize='small')
    for part, picture in zip(lower, pictures):
        axis = part.subplots()
        axis.imshow(np.array(Image.open(picture)))
        axis.set_axis_off()
        part.suptitle(f'iteration {picture.stem.rpartition("_")[2]}')
    figure.savefig(path, dpi=90)


def _styles(number: int) -> tuple[list, list]:
    """Colours for the names, solid and dashed lines for the shares."""
    half = max(number // 2, 1)
    colours = [COLOURS[i % half % len(COLOURS)] for i in range(number)]
    return colours, ['-' if i < half else '--' for i in range(number)]


def _curves(runs: Sequence[Run]) -> dict[str, dict]:
    """By loss and figure: iterations, and the mean over seeds."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.loss, []).append(run)
    found = {}
    for name, group in groups.items():
        logs = [
            [v for v in run.scalars() if set(CURVES) <= set(v)]
            for run in group
        ]
        if not all(logs):
            continue
        steps = [v['step'] for v in logs[0]]
        found[name] = {
            key: (
                steps,
                np.mean([[v[key] for v in log] for log in logs], axis=0),
            )
            for key in CURVES
        }
    return found


def _pictures(run: Run) -> list[Path]:
    """What its SoftLabelVisualizationHook drew, in the order of iterations."""
    found = run.work_dir.glob(f'*/vis_data/vis_image/{PICTURES}')
    return sorted(found, key=lambda p: int(p.stem.rpartition('_')[2]))
