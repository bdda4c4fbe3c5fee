"""Time and memory of losses, against torch's cross-entropy.

    python -m benchmarks.losses
    python -m benchmarks.losses --shapes 2x19x512x1024 --rounds 5 --kinds soft
    python -m benchmarks.losses --device cuda --dtype float32 bfloat16

Prints a table and writes ``benchmarks/results/losses-*.csv``. Time is forward
and backward, as the median over rounds of the ratio to the baseline of the
same round. On CUDA it is the device's own, from a flushed L2, and the host's
time and the number of launches stand beside it. Memory is over the size of
the logits, whose gradient is 1.00 of it; allocations are counted one by one,
so that nothing else disturbs them.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch

from .candidates import BASELINE, draw, find_candidates
from .devices import CPU, CUDA
from .measure import compare, size_of
from .report import add_options, check_names, choose, running, set_up, write
from .rivals import find_rivals, missing

SHAPES = (
    '2x19x512x1024',
    '4x21x512x512',
    '2x150x512x512',
    '8x19x512x1024',
    '3x27x384x768',
)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    kinds = ['hard', 'soft']
    parser.add_argument('--shapes', nargs='+', default=SHAPES)
    parser.add_argument('--kinds', nargs='+', default=kinds, choices=kinds)
    parser.add_argument('--dtype', nargs='+', default=['float32'])
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='NAME',
        help='losses besides the baseline',
    )
    add_options(parser, rounds=11)
    return parser.parse_args()


def begin(arguments: argparse.Namespace) -> CPU | CUDA:
    """Checks the names of losses, says what is missing, gives the device."""
    known = []
    for kind in ('hard', 'soft'):
        known += find_candidates(kind, arguments.device) | find_rivals(kind)
    check_names(arguments.only, known)
    for library in missing():
        print(f'left out: {library} is not installed')
    return set_up(arguments)


def measure_shape(
    shape: tuple[int, ...],
    kind: str,
    dtype: str,
    arguments: argparse.Namespace,
    device: CPU | CUDA,
) -> list[dict]:
    """One row for each loss."""
    inputs = draw(shape, kind, getattr(torch, dtype), arguments.device)
    losses = find_candidates(kind, arguments.device)
    rivals = find_rivals(kind)
    chosen = choose(losses | rivals, arguments.only, BASELINE)
    calls = {key: partial(loss, *inputs) for key, loss in chosen.items()}
    rivals = {key: calls.pop(key) for key in rivals if key in calls}
    calls |= running(rivals, lambda call: call().backward())
    unit, name = size_of(inputs[0]), 'x'.join(map(str, shape))
    common = dict(kind=kind, dtype=dtype, shape=name)
    rows = []
    for row in compare(
        calls, inputs[0], unit, device, arguments.rounds, **common
    ):
        rows.append(row)
        print_row(row)
    return rows


def print_row(row: dict) -> None:
    """A line of the table."""
    line = (
        '{kind:5} {dtype:8} {shape:15} {loss:33} {ms:9.3f} ms {time:6.2f}'
        '   peak {peak:5.2f}   held {held:5.2f}'
    )
    if row['host_ms'] != '':
        line += '   host {host_ms:6.2f} ms'
    print(line.format(**row), flush=True)


def finish(
    rows: list[dict],
    arguments: argparse.Namespace,
    device: CPU | CUDA,
    name: str,
) -> Path:
    """Counts launches, prints them, and writes all again."""
    device.count()
    for row in rows:
        if row['launches'] != '':
            print('{shape:15} {dtype:8} {kind:5} {loss:33} {launches:5} '
                  'launches'.format(**row))  # fmt: skip
    return write(rows, arguments, device, name)


def main() -> None:
    """Measures, prints and writes."""
    arguments = parse_arguments()
    device = begin(arguments)
    rows = []
    for text in arguments.shapes:
        shape = tuple(map(int, text.split('x')))
        for dtype in arguments.dtype:
            for kind in arguments.kinds:
                rows += measure_shape(shape, kind, dtype, arguments, device)
                write(rows, arguments, device, 'losses')
    print(finish(rows, arguments, device, 'losses'))


if __name__ == '__main__':
    main()
