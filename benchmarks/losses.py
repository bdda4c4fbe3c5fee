"""Time and memory of losses, against torch's cross-entropy.

    python -m benchmarks.losses
    python -m benchmarks.losses --shapes 2x19x512x1024 --rounds 5 --kinds soft
    python -m benchmarks.losses --device cuda --dtype bfloat16

Prints a table and writes ``benchmarks/results/losses-*.csv``. Time is forward
and backward, as the median over rounds of the ratio to the baseline of the
same round. Memory is over the size of the logits, whose gradient is 1.00 of
it; allocations are counted one by one, so that nothing else disturbs them.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import platform
import statistics
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from .candidates import BASELINE, draw, find_candidates
from .measure import (
    CLOCKS,
    interleaved,
    median_ratio,
    memory_of,
    recycle_memory,
    size_of,
)

SHAPES = ('2x19x512x1024', '4x21x512x512', '2x150x512x512', '8x19x512x1024')
RESULTS = Path(__file__).parent / 'results'
PACKAGES = (
    'mmsegmentation',
    'onedl-mmsegmentation',
    'monai',
    'kornia',
    'segmentation-models-pytorch',
)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--shapes', nargs='+', default=SHAPES)
    parser.add_argument(
        '--kinds',
        nargs='+',
        default=['hard', 'soft'],
        choices=['hard', 'soft'],
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='NAME',
        help='candidates besides the baseline',
    )
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--dtype', default='float32')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=11)
    parser.add_argument(
        '--clock',
        choices=CLOCKS,
        default='wall',
        help="'processor' where others use the machine",
    )
    parser.add_argument(
        '--memory',
        choices=['fresh', 'recycled'],
        default='fresh',
        help='whether large blocks come from the system or from the step '
        'before (glibc)',
    )
    parser.add_argument('--out', type=Path, help='where to write the CSV')
    return parser.parse_args()


def environment(arguments: argparse.Namespace) -> dict[str, str]:
    """What the figures depend on, for each row of the CSV."""
    packages = []
    for name in PACKAGES:
        try:
            packages.append(f'{name} {version(name)}')
        except PackageNotFoundError:
            continue
    chosen = ('threads', 'clock', 'memory', 'dtype', 'rounds')
    return {
        'date': datetime.date.today().isoformat(),
        'device': processor_name(arguments.device),
        **{
            key: str(vars(arguments)[key])
            for key in chosen
            if key in arguments
        },
        'python': platform.python_version(),
        'torch': torch.__version__,
        'packages': '; '.join(packages),
    }


def processor_name(device: str) -> str:
    """What runs the losses, in words."""
    if device != 'cpu':
        return torch.cuda.get_device_name(device)
    lines = Path('/proc/cpuinfo')
    if lines.exists():
        for line in lines.read_text().splitlines():
            if line.startswith('model name'):
                return line.split(':')[1].strip()
    return platform.processor() or platform.machine()


def measure_shape(
    shape: tuple[int, ...], kind: str, arguments: argparse.Namespace
) -> list[dict]:
    """One row for each candidate."""
    candidates = find_candidates(kind)
    if arguments.only:
        candidates = {
            name: loss
            for name, loss in candidates.items()
            if name in (BASELINE, *arguments.only)
        }
    dtype = getattr(torch, arguments.dtype)
    logits, target = draw(shape, kind, dtype, arguments.device)
    steps = interleaved(
        {
            name: partial(loss, logits, target)
            for name, loss in candidates.items()
        },
        logits,
        arguments.rounds,
        arguments.clock,
        fresh=arguments.memory == 'fresh',
    )
    base = steps[BASELINE]
    rows = []
    for name, loss in candidates.items():
        memory = memory_of(partial(loss, logits, target), logits)
        total = statistics.median(step.total for step in steps[name].values())
        rows.append(
            {
                'kind': kind,
                'shape': 'x'.join(map(str, shape)),
                'loss': name,
                'ms': 1000 * total,
                'time': median_ratio(steps[name], base),
                'forward': median_ratio(steps[name], base, 'forward'),
                'peak': memory.peak / size_of(logits),
                'held': memory.held / size_of(logits),
            }
        )
        print_row(rows[-1])
    return rows


def print_row(row: dict) -> None:
    """A line of the table."""
    print(
        f'{row["kind"]:5} {row["shape"]:14} {row["loss"]:28}'
        f' {row["ms"]:9.1f} ms {row["time"]:6.2f}'
        f'   peak {row["peak"]:5.2f}   held {row["held"]:5.2f}',
        flush=True,
    )


def write(rows: list[dict], arguments: argparse.Namespace, name: str) -> Path:
    """Writes rows as CSV, and returns where."""
    common = environment(arguments)
    path = arguments.out or RESULTS / f'{name}-{common["date"]}.csv'
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, [*rows[0], *common])
        writer.writeheader()
        for row in rows:
            writer.writerow(
                common
                | {
                    key: round(value, 4) if isinstance(value, float) else value
                    for key, value in row.items()
                }
            )
    return path


def main() -> None:
    """Measures, prints and writes."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.memory == 'recycled':
        recycle_memory()
    rows = []
    for text in arguments.shapes:
        shape = tuple(map(int, text.split('x')))
        for kind in arguments.kinds:
            rows += measure_shape(shape, kind, arguments)
            path = write(rows, arguments, f'losses-{arguments.device}')
    print(path)


if __name__ == '__main__':
    main()
