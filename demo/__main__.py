"""Run a demo: ``python -m demo jml``, ``kd`` or ``semi``.

Started again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console


def positive(text: str) -> int:
    """Read an integer of at least 1 from the command line."""
    if not text.isdecimal() or int(text) < 1:
        message = f'expected an integer of at least 1 but got {text!r}'
        raise argparse.ArgumentTypeError(message)
    return int(text)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    shows_defaults = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(
        'python -m demo', description=__doc__, formatter_class=shows_defaults
    )
    add = parser.add_argument
    add('demo', choices=('jml', 'kd', 'semi'), help='which demo to run')
    add('--seeds', type=positive, default=3, help='seeds of each kind of run')
    add('--iters', type=positive, default=400, help='iterations of each run')
    add('--jobs', type=positive, default=os.cpu_count(), help='runs at a time')
    results = Path('work_dirs/demo')
    add('--work-dir', type=Path, default=results, help='folder of results')
    return parser.parse_args()


def main() -> None:
    """Write the scenes, train, and show the results of each stage."""
    arguments = parse_arguments()
    # importing torch and mmseg takes seconds
    from mmengine.fileio import dump

    from . import experiments
    from .report import draw, effects, scores, table, typical
    from .runs import train_all
    from .scenes import SCENES, write_scenes

    # redirected to a file, lines are as wide as the tables
    console = Console(width=None if sys.stdout.isatty() else 100)
    started = time.monotonic()
    plan, folder = getattr(experiments, arguments.demo), arguments.work_dir
    stages = plan(arguments.seeds, arguments.iters, folder)
    write_scenes(SCENES)
    groups, results = {}, {}
    for number, stage in enumerate(stages, 1):
        try:
            train_all(stage, arguments.jobs, console)
        except KeyboardInterrupt:
            sys.exit('Stopped. The same command goes on from here.')
        for run in stage:
            groups.setdefault(run.name, []).append(run)
            results.setdefault(run.name, []).append(scores(run))
        console.print(table(results))
        for line in effects(results, experiments.COMPARED):
            console.print(line, highlight=False)
        picture = folder / f'{arguments.demo}-{number}.png'
        draw(list(map(typical, groups.values())), results, picture)
        seconds = time.monotonic() - started
        console.print(f'{picture} after {seconds:.0f} s', highlight=False)
    dump(results, folder / f'{arguments.demo}.json', indent=1)


if __name__ == '__main__':
    main()
