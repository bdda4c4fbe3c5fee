"""Compare time and memory of losses with torch's cross-entropy.

    python -m benchmarks.losses
    python -m benchmarks.losses --shapes 2x19x512x1024 --rounds 5 --kinds soft
    python -m benchmarks.losses --device cuda --dtype float32 bfloat16

Prints a table and writes ``benchmarks/results/losses-*.csv``. Time is that of
a forward and a backward pass: the median over rounds of the ratio to the
baseline in the same round. On CUDA it is the time of the device, from a
flushed L2; the time of the host and the number of kernel launches have columns
of their own. Memory is given over the size of the logits, so that their
gradient is 1.00; it is counted by allocation, and nothing else disturbs it.
"""

from __future__ import annotations

import argparse

import torch

from .candidates import draw, find_candidates
from .measure import size_of
from .options import check_names, make_parser, set_up
from .report import finish, measure_losses, write
from .rivals import find_rivals, missing

SHAPES = (
    '2x19x512x1024',
    '4x21x512x512',
    '2x150x512x512',
    '8x19x512x1024',
    '3x27x384x768',
)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, rounds=11)
    kinds = ['hard', 'soft']
    parser.add_argument('--shapes', nargs='+', default=SHAPES)
    parser.add_argument('--kinds', nargs='+', default=kinds, choices=kinds)
    return parser.parse_args()


def begin(arguments: argparse.Namespace) -> None:
    """Check the names of losses, name missing libraries, get the device."""
    known = []
    for kind in ('hard', 'soft'):
        known += find_candidates(kind, arguments.device) | find_rivals(kind)
    check_names(arguments.only, known)
    for library in missing():
        print(f'left out: {library} is not installed')
    set_up(arguments)


def measure_shape(
    text: str, kind: str, dtype: str, arguments: argparse.Namespace
) -> list[dict]:
    """Measure a row for each loss."""
    shape, device = tuple(map(int, text.split('x'))), arguments.device.type
    inputs = draw(shape, kind, getattr(torch, dtype), device)
    return measure_losses(
        find_candidates(kind, device),
        find_rivals(kind),
        inputs,
        size_of(inputs[0]),
        arguments,
        kind=kind,
        dtype=dtype,
        shape=text,
    )


def main() -> None:
    """Measure, print and write."""
    arguments = parse_arguments()
    begin(arguments)
    rows = []
    for shape in arguments.shapes:
        for dtype in arguments.dtype:
            for kind in arguments.kinds:
                rows += measure_shape(shape, kind, dtype, arguments)
                write(rows, arguments, 'losses')
    print(finish(rows, arguments, 'losses'))


if __name__ == '__main__':
    main()
