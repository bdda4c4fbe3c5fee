"""Print the results of benchmarks, and write them as CSV."""

from __future__ import annotations

import argparse
import csv
import datetime
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor

from .devices import CPU, CUDA
from .measure import compare
from .options import choose

__all__ = ['environment', 'finish', 'measure_losses', 'running', 'write']

RESULTS = Path(__file__).parent / 'results'
PACKAGES = (
    'mmsegmentation',
    'onedl-mmsegmentation',
    'monai',
    'kornia',
    'segmentation-models-pytorch',
)
# Options that a row depends on, where the benchmark has them.
_OPTIONS = ('threads', 'clock', 'memory', 'rounds')


def running(calls: dict[str, Callable], run: Callable) -> dict[str, Callable]:
    """Return the calls that ``run`` can make; print why others fail."""
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


def measure_losses(
    losses: dict[str, Callable[[], Tensor]],
    rivals: dict[str, Callable[[], Tensor]],
    leaf: Tensor,
    unit: int,
    arguments: argparse.Namespace,
    device: CPU | CUDA,
    **common: str,
) -> list[dict]:
    """Measure the losses of ``--only``, and print a line for each.

    Args:
        losses (dict[str, Callable]): Each returns a scalar; the first is the
            baseline.
        rivals (dict[str, Callable]): Losses of other libraries; those that
            fail are left out.
        leaf (Tensor): The tensor that they are differentiated by.
        unit (int): Number of bytes that memory is divided by.
        arguments (argparse.Namespace): The command line.
        device (CPU | CUDA): Where they run.
        **common (str): First columns of every row.
    """
    baseline = next(iter(losses))
    calls = choose(losses, arguments.only, baseline)
    rivals = choose(rivals, arguments.only)
    calls |= running(rivals, lambda call: call().backward())
    rows = []
    for row in compare(calls, leaf, unit, device, arguments.rounds, **common):
        rows.append(row)
        host = '   host {host_ms:6.2f} ms' * (row['host_ms'] != '')
        print(('{kind:5} {dtype:8} {shape:15} {loss:33} {ms:9.3f} ms '
               '{time:6.2f}   peak {peak:5.2f}   held {held:5.2f}' + host)
              .format(**row), flush=True)  # fmt: skip
    return rows


def finish(
    rows: list[dict],
    arguments: argparse.Namespace,
    device: CPU | CUDA,
    name: str,
) -> Path:
    """Count kernel launches, print them, and write all rows again."""
    device.count()
    for row in rows:
        if row['launches'] != '':
            print('{shape:15} {dtype:8} {kind:5} {loss:33} {launches:5} '
                  'launches'.format(**row))  # fmt: skip
    return write(rows, arguments, device, name)


def environment(
    arguments: argparse.Namespace, device: CPU | CUDA
) -> dict[str, str]:
    """Describe what the figures depend on, for each row of a CSV."""
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
    """Return the version of a package; '' if it is not installed."""
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
    """Write rows, which have the same keys, as CSV; return the path."""
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
