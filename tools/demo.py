"""Shows what the Jaccard metric loss does, on data that needs no download.

``python tools/demo.py`` trains one config with cross-entropy, with
cross-entropy + JML, and with the latter and boundary label smoothing, over
three seeds each. Started again, it goes on where it stopped.
"""

import argparse
import os
import signal
import sys
import time
import warnings
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from rich.console import Console

import mmseg_jml
from mmseg_jml.demo.figures import (
    draw_curves,
    draw_predictions,
    draw_reliability,
)
from mmseg_jml.demo.progress import watch
from mmseg_jml.demo.results import measure, table, write_curves, write_scores
from mmseg_jml.demo.runs import Run, RunError, sole_owner, train_all

CONFIGS = Path(mmseg_jml.__file__).parent / '.mim/configs/demo'
LOSSES = {
    'CE': 'fpn_r18-16_1xb16-1400_digit-scenes-64x64.py',
    'CE + JML': 'fpn_r18-16_1xb16-jml-ce-1400_digit-scenes-64x64.py',
    'CE + JML + BLS': 'fpn_r18-16_1xb16-jml-ce-bls-1400_digit-scenes-64x64.py',
}


def at_least(least: int):
    """Returns a type for argparse: integers from a number on."""

    def integer(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f'expected an integer of at least {least} but got {text!r}'
            )
        return int(text)

    return integer


def parse_args(iters: int = 1400) -> argparse.Namespace:
    """Reads the command line, with a default number of iterations."""
    parser = argparse.ArgumentParser(
        description='Train with and without JML on embedded data.'
    )
    parser.add_argument(
        '--seeds',
        type=at_least(1),
        default=3,
        help='runs of each loss; default: 3',
    )
    parser.add_argument(
        '--iters',
        type=at_least(20),
        default=iters,
        help=f'iterations of each run; default: {iters}',
    )
    parser.add_argument(
        '--jobs',
        type=at_least(1),
        default=os.cpu_count(),
        help='runs at a time, one thread each; default: number of cores',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/demo'),
        help='folder for all that is written; default: work_dirs/demo',
    )
    return parser.parse_args()


def build_validation():
    """Returns the validation set; the first time, this writes the scenes."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIGS / LOSSES['CE'])
    return DATASETS.build(cfg.val_dataloader.dataset)


def report(results, validation, folder: Path, console: Console) -> None:
    """Prints the table and writes the files."""
    console.print(table(results))
    write_scores(results, folder / 'scores.csv')
    write_curves(results, folder / 'curves.csv')
    draw_predictions(results, validation, folder / 'predictions.png')
    draw_curves(results, folder / 'curves.png')
    draw_reliability(results, folder / 'reliability.png')
    names = ('scores.csv', 'curves.csv', 'predictions.png', 'curves.png')
    for name in (*names, 'reliability.png'):
        console.print(f'  {folder / name}', highlight=False, soft_wrap=True)


def main() -> None:
    """Trains, measures and reports."""
    args = parse_args()
    console = Console()
    folder = args.work_dir / f'{args.iters}_iterations'
    # The stacks' warnings are in the logs of the runs.
    warnings.simplefilter('ignore')
    # ends the trainings too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('Stopped.'))
    started = time.monotonic()
    try:
        validation = build_validation()
        with sole_owner(
            folder,
            lambda: console.print('Waiting for an earlier demo to end ...'),
        ) as lock:
            runs = [
                Run.plan(CONFIGS / config, loss, seed, args.iters, folder)
                for seed in range(args.seeds)
                for loss, config in LOSSES.items()
            ]
            with watch(runs, console) as display:
                train_all(runs, args.jobs, lock, display)
            report(list(map(measure, runs)), validation, folder, console)
    except KeyboardInterrupt:
        sys.exit('Stopped. The same command goes on from here.')
    except (ImportError, ValueError, RunError) as error:
        sys.exit(str(error))
    seconds = time.monotonic() - started
    console.print(f'Done in {seconds:.0f} s.', highlight=False)


if __name__ == '__main__':
    main()
