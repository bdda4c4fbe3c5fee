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
from functools import partial

import torch

from .candidates import draw, find_candidates
from .devices import CPU, CUDA
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


def begin(arguments: argparse.Namespace) -> CPU | CUDA:
    """Check the names of losses, name missing libraries, get the device."""
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
    """Measure a row for each loss."""
    inputs = draw(shape, kind, getattr(torch, dtype), arguments.device)
    calls, rivals = (
        {name: partial(loss, *inputs) for name, loss in losses.items()}
        for losses in (
            find_candidates(kind, arguments.device),
            find_rivals(kind),
        )
    )
    common = dict(kind=kind, dtype=dtype, shape='x'.join(map(str, shape)))
    unit = size_of(inputs[0])
    return measure_losses(
        calls, rivals, inputs[0], unit, arguments, device, **common
    )


def main() -> None:
    """Measure, print and write."""
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
