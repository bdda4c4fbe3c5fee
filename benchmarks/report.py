"""What every benchmark shares: its options, its device and its CSV."""

from __future__ import annotations

import argparse
import csv
import datetime
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from .devices import CLOCKS, CPU, CUDA, find_device, recycle_memory

__all__ = [
    'add_options',
    'check_names',
    'choose',
    'environment',
    'running',
    'set_up',
    'write',
]

RESULTS = Path(__file__).parent / 'results'
PACKAGES = (
    'mmsegmentation',
    'onedl-mmsegmentation',
    'monai',
    'kornia',
    'segmentation-models-pytorch',
)
# What a row depends on, where the benchmark has such an option.
_OPTIONS = ('threads', 'clock', 'memory', 'rounds')


def add_options(parser: argparse.ArgumentParser, rounds: int) -> None:
    """Adds the options of time, memory and place to a command line.

    Args:
        parser (argparse.ArgumentParser): Gets them.
        rounds (int): Default of ``--rounds``.
    """
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


def set_up(arguments: argparse.Namespace) -> CPU | CUDA:
    """The device that :func:`add_options` was told.

    Args:
        arguments (argparse.Namespace): The command line.
    """
    torch.set_num_threads(arguments.threads)
    fresh = arguments.memory == 'fresh'
    if not fresh:
        recycle_memory()
    return find_device(arguments.device, arguments.clock, fresh)


def check_names(only: list[str] | None, known: Iterable[str]) -> None:
    """Refuses an ``--only`` that names what is not there.

    Args:
        only (list[str], optional): What was asked for; None asks for all.
        known (Iterable[str]): What there is.

    Raises:
        SystemExit: If a name is unknown.
    """
    unknown = set(only or ()) - set(known)
    if unknown:
        raise SystemExit(
            f'Expected --only to name some of {sorted(set(known))}, but got '
            f'{sorted(unknown)}; are their packages installed?'
        )


def choose(found: dict, only: list[str] | None, always: str) -> dict:
    """The entries that ``--only`` names, and the baseline.

    Args:
        found (dict): All of them by name.
        only (list[str], optional): Names; None keeps all.
        always (str): Name of the baseline.
    """
    names = only or found
    return {key: found[key] for key in found if key in (always, *names)}


def running(calls: dict[str, Callable], run: Callable) -> dict[str, Callable]:
    """Those that run; prints why the others are left out.

    Args:
        calls (dict[str, Callable]): By name.
        run (Callable): Makes one of the calls.
    """
    found = {}
    for name, call in calls.items():
        try:
            run(call)
        except Exception as error:  # whatever a foreign library raises
            line = (str(error).splitlines() or [''])[0][:150]
            print(f'left out: {name}: {type(error).__name__}: {line}')
        else:
            found[name] = call
    return found


def environment(
    arguments: argparse.Namespace, device: CPU | CUDA
) -> dict[str, str]:
    """What the figures depend on, for each row of a CSV."""
    options = vars(arguments)
    packages = [f'{name} {_version(name)}' for name in PACKAGES]
    return {
        'date': datetime.date.today().isoformat(),
        'device': device.name,
        **{key: str(options[key]) for key in _OPTIONS if key in options},
        'python': platform.python_version(),
        'torch': torch.__version__,
        'triton': _version('triton'),
        'packages': '; '.join(x for x in packages if x.partition(' ')[2]),
    }


def _version(package: str) -> str:
    """Its version, or nothing where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ''


def write(
    rows: Iterable[dict],
    arguments: argparse.Namespace,
    device: CPU | CUDA,
    name: str,
) -> Path:
    """Writes rows as CSV, and returns where.

    Args:
        rows (Iterable[dict]): All with the same keys.
        arguments (argparse.Namespace): The command line.
        device (CPU | CUDA): Where they were measured.
        name (str): Beginning of the file's name.
    """
    rows, common = list(rows), environment(arguments, device)
    file = f'{name}-{arguments.device}-{common["date"]}.csv'
    path = arguments.out or RESULTS / file
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, [*rows[0], *common])
        writer.writeheader()
        for row in rows:
            rounded = {
                key: round(value, 4) if isinstance(value, float) else value
                for key, value in row.items()
            }
            writer.writerow(rounded | common)
    return path
