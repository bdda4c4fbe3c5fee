"""Print the results of benchmarks, and write them as CSV."""

from __future__ import annotations

import argparse
import csv
import datetime
import platform
import shutil
import subprocess
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor

from .measure import compare
from .options import choose

RESULTS = Path(__file__).parent / 'results'
PACKAGES = (
    'mmsegmentation',
    'onedl-mmsegmentation',
    'monai',
    'kornia',
    'segmentation-models-pytorch',
)
# Options that a row depends on.
OPTIONS = ('threads', 'clock', 'memory', 'rounds')


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
    losses: dict[str, Callable[[Tensor, Tensor], Tensor]],
    rivals: dict[str, Callable[[Tensor, Tensor], Tensor]],
    inputs: tuple[Tensor, Tensor],
    unit: int,
    arguments: argparse.Namespace,
    **common: str,
) -> list[dict]:
    """Measure the losses of ``--only``, and print a line for each.

    The first of ``losses`` is the baseline; of the ``rivals``, those that fail
    are left out. ``inputs`` are the logits, by which losses are
    differentiated, and the target. Memory is divided by ``unit`` bytes. What
    is in ``common`` begins each row.
    """
    baseline = next(iter(losses))
    losses = choose(losses, arguments.only, baseline)
    rivals = choose(rivals, arguments.only)
    calls, others = (
        {name: partial(loss, *inputs) for name, loss in found.items()}
        for found in (losses, rivals)
    )
    calls |= running(others, lambda call: call().backward())
    rows = []
    for row in compare(
        calls, inputs[0], unit, arguments.device, arguments.rounds, **common
    ):
        rows.append(row)
        host = '   host {host_ms:6.2f} ms' * (row['host_ms'] != '')
        print(('{kind:5} {dtype:8} {shape:15} {loss:33} {ms:9.3f} ms '
               '{time:6.2f}   peak {peak:5.2f}   held {held:5.2f}' + host)
              .format(**row), flush=True)  # fmt: skip
    return rows


def finish(rows: list[dict], arguments: argparse.Namespace, name: str) -> Path:
    """Count kernel launches, print them, and write all rows again."""
    arguments.device.count()
    for row in rows:
        if row['launches'] != '':
            print('{shape:15} {dtype:8} {kind:5} {loss:33} {launches:5} '
                  'launches'.format(**row))  # fmt: skip
    return write(rows, arguments, name)


def environment(arguments: argparse.Namespace) -> dict[str, str]:
    """Describe what the figures depend on, for each row of a CSV."""
    packages = [f'{name} {_version(name)}' for name in PACKAGES]
    return {
        'date': datetime.date.today().isoformat(),
        'commit': _commit(),
        'device': arguments.device.name,
        **{key: str(getattr(arguments, key)) for key in OPTIONS},
        'python': platform.python_version(),
        'torch': torch.__version__,
        'triton': _version('triton'),
        'packages': '; '.join(x for x in packages if x.partition(' ')[2]),
    }


@lru_cache(maxsize=None)  # writing results makes a clone dirty
def _commit() -> str:
    """Return the commit of the package; '' outside a clone."""
    root = Path(__file__).parents[1]
    command = ['git', '-C', str(root), 'describe', '--always', '--dirty']
    # without one of its own, git would look for a clone further up
    if not (root / '.git').exists() or not shutil.which('git'):
        return ''
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return found.stdout.strip()


def _version(package: str) -> str:
    """Return the version of a package; '' if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ''


def write(rows: list[dict], arguments: argparse.Namespace, name: str) -> Path:
    """Write rows, which have the same keys, as CSV; return the path."""
    common = environment(arguments)
    file = f'{name}-{arguments.device.type}-{common["date"]}.csv'
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
