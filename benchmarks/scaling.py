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

CLASSES = [f'1x{c}x512x512' for c in (2, 4, 8, 19, 40, 80, 171)]
PIXELS = [f'1x19x{side}x{side}' for side in (32, 64, 128, 256, 512, 1024)]


def plot(
    rows: list[dict], dtype: str, path: Path, arguments: argparse.Namespace
) -> None:
    """Plot time and memory over the number of classes and of pixels."""
    from matplotlib.figure import Figure

    found = {
        (row['loss'], row['shape']): row
        for row in rows
        if row['dtype'] == dtype
    }
    figure = Figure((10, 7))
    axes = figure.subplots(2, 2, sharex='col')
    for column, shapes in enumerate((CLASSES, PIXELS)):
        sizes = [tuple(map(int, shape.split('x'))) for shape in shapes]
        places = [(c, h * w)[column] for _, c, h, w in sizes]
        for loss in dict.fromkeys(loss for loss, _ in found):
            for axis, key in zip(axes[:, column], ('time', 'peak')):
                axis.plot(
                    places,
                    [found[loss, shape][key] for shape in shapes],
                    'o-',
                    label=loss,
                    markersize=3,
                    color='black' if loss == BASELINE else None,
                )
    axes[1, 0].set_xlabel('classes, at 512 x 512 pixels')
    axes[1, 1].set_xlabel('pixels, at 19 classes')
    for axis in axes.flat:
        axis.set(xscale='log', yscale='log')
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel(f'time / {BASELINE}')
    axes[1, 0].set_ylabel('peak memory / logits')
    axes[0, 1].legend(fontsize=7)
    device = arguments.device.type
    figure.suptitle(f'{device}, {dtype}, {arguments.threads} thread')
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, write and plot."""
    arguments = parse_arguments()
    begin(arguments)
    rows = []
    for shape in dict.fromkeys(CLASSES + PIXELS):
        for dtype in arguments.dtype:
            rows += measure_shape(shape, 'hard', dtype, arguments)
    path = finish(rows, arguments, 'scaling')
    for dtype in arguments.dtype:
        picture = path.with_name(f'{path.stem}-{dtype}.png')
        plot(rows, dtype, picture, arguments)
    print(path)


if __name__ == '__main__':
    main()
