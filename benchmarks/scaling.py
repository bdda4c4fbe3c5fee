"""Measure how the time of losses grows with classes and with pixels.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --device cuda --dtype bfloat16

Takes the options of ``benchmarks.losses`` except shapes, and writes
``benchmarks/results/scaling-*.csv`` and a plot for each dtype beside it, for
which it needs matplotlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .candidates import BASELINE
from .losses import begin, measure_shape, parse_arguments
from .report import finish

CLASSES = [(1, classes, 512, 512) for classes in (2, 4, 8, 19, 40, 80, 171)]
PIXELS = [(1, 19, side, side) for side in (32, 64, 128, 256, 512, 1024)]


def plot(
    rows: list[dict], dtype: str, path: Path, arguments: argparse.Namespace
) -> None:
    """Plot time and memory over the number of classes and of pixels."""
    rows = [row for row in rows if row['dtype'] == dtype]
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), sharex='col')
    for column, shapes in enumerate((CLASSES, PIXELS)):
        names = ['x'.join(map(str, shape)) for shape in shapes]
        places = [
            shape[1] if column == 0 else shape[2] * shape[3]
            for shape in shapes
        ]
        for loss in dict.fromkeys(row['loss'] for row in rows):
            found = {row['shape']: row for row in rows if row['loss'] == loss}
            for axis, key in zip(axes[:, column], ('time', 'peak')):
                axis.plot(
                    places,
                    [found[name][key] for name in names],
                    'o-',
                    label=loss,
                    markersize=3,
                    color='black' if loss == BASELINE else None,
                )
        axes[1, column].set_xlabel(
            'classes, at 512 x 512 pixels'
            if column == 0
            else 'pixels, at 19 classes'
        )
    for axis in axes.flat:
        axis.set_xscale('log')
        axis.set_yscale('log')
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel(f'time / {BASELINE}')
    axes[1, 0].set_ylabel('peak memory / logits')
    axes[0, 1].legend(fontsize=7)
    figure.suptitle(f'{arguments.device}, {dtype}, {arguments.threads} thread')
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, write and plot."""
    arguments = parse_arguments()
    device = begin(arguments)
    rows = []
    for shape in dict.fromkeys(CLASSES + PIXELS):
        for dtype in arguments.dtype:
            rows += measure_shape(shape, 'hard', dtype, arguments, device)
    path = finish(rows, arguments, device, 'scaling')
    for dtype in arguments.dtype:
        picture = path.with_name(f'{path.stem}-{dtype}.png')
        plot(rows, dtype, picture, arguments)
    print(path)


if __name__ == '__main__':
    main()
