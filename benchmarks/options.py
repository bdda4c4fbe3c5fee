"""The command line that benchmarks share, and the device that it names."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch

from .devices import CLOCKS, CPU, CUDA, recycle_memory


def make_parser(
    description: str, rounds: int, by_loss: bool = True
) -> argparse.ArgumentParser:
    """Make a parser with the options that all benchmarks have.

    If ``by_loss``, ``--only`` chooses losses, and ``--dtype`` takes several.
    """
    parser = argparse.ArgumentParser(
        description=description.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    if by_loss:
        parser.add_argument('--dtype', nargs='+', default=['float32'])
        parser.add_argument(
            '--only',
            nargs='+',
            metavar='NAME',
            help='losses to measure besides the baseline',
        )
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    parser.add_argument('--threads', type=int, default=1, help='of the CPU')
    parser.add_argument('--rounds', type=int, default=rounds)
    parser.add_argument(
        '--clock',
        choices=CLOCKS,
        default='wall',
        help="of the CPU; 'processor' where others use the machine",
    )
    parser.add_argument(
        '--memory',
        choices=['fresh', 'recycled'],
        default='fresh',
        help='whether large blocks come from the system or from the step '
        'before (CPU, glibc)',
    )
    parser.add_argument('--out', type=Path, help='where to write the CSV')
    return parser


def set_up(arguments: argparse.Namespace) -> None:
    """Put the device in place of its name, and prepare it."""
    torch.set_num_threads(arguments.threads)
    fresh = arguments.memory == 'fresh'
    if not fresh:
        recycle_memory()
    cpu = arguments.device == 'cpu'
    arguments.device = CPU(arguments.clock, fresh) if cpu else CUDA()


def check_names(only: list[str] | None, known: Iterable[str]) -> None:
    """Refuse an ``--only`` with unknown names."""
    unknown = set(only or ()) - set(known)
    if unknown:
        raise SystemExit(
            f'Expected --only to name some of {sorted(set(known))}, but got '
            f'{sorted(unknown)}; are their packages installed?'
        )


def choose(found: dict, only: list[str] | None, always: str = '') -> dict:
    """Choose the entries of ``--only`` and the baseline; without it, all."""
    names = only or found
    return {key: found[key] for key in found if key in (always, *names)}
