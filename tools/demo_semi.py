"""Shows what unlabelled images add to few labels, on the data of the demo.

``python tools/demo_semi.py`` trains a model with a sixteenth and with an
eighth of the labels, over three seeds, and goes on from its weights in four
ways: with the labels alone, and with pseudo labels of a mean teacher that are
learned by cross-entropy, by cross-entropy and Jaccard metric loss, and by the
latter as soft labels. Started again, it goes on where it stopped.
"""

import os
import signal
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

from demo import build_validation, parse_args
from mmengine.logging import MMLogger
from rich.console import Console

import mmseg_jml
from mmseg_jml.demo.progress import watch
from mmseg_jml.demo.results import measure, write_scores
from mmseg_jml.demo.runs import Run, RunError, sole_owner, train_all
from mmseg_jml.demo.semi_supervised import draw_training, tabulate

CONFIGS = Path(mmseg_jml.__file__).parent / '.mim/configs/demo_semi'
START = 'fpn_r18-16_1xb8-jml-ce-1000_digit-scenes-64x64.py'
ENDS = {
    'labels alone': 'fpn_r18-16_1xb8-jml-ce-1000-600_digit-scenes-64x64.py',
    'mean teacher, CE': 'semi-mt-ce_fpn_r18-16_1xb8-1000-600_'
    'digit-scenes-64x64.py',
    'hard, CE + JML': 'semi-jml-hard_fpn_r18-16_1xb8-1000-600_'
    'digit-scenes-64x64.py',
    'soft, CE + JML': 'semi-jml-soft_fpn_r18-16_1xb8-1000-600_'
    'digit-scenes-64x64.py',
}
LABELED = {'1-16': 50, '1-8': 100}
VALIDATIONS = 2  # no learning curve is drawn


def plan(args, folder) -> dict[Run, list[Run]]:
    """Writes the configs; what goes on from a run stands behind it."""
    tree = {}
    for share, labeled in LABELED.items():
        # the configs take both from there
        os.environ['LABELED'] = str(labeled)
        for seed in range(args.seeds):
            part = seed, args.iters, folder / share, VALIDATIONS
            start = Run.plan(CONFIGS / START, 'start', *part)
            os.environ['START'] = str(start.checkpoint.resolve())
            part = seed, args.iters * 3 // 5, folder / share, VALIDATIONS
            tree[start] = [
                Run.plan(CONFIGS / config, name, *part)
                for name, config in ENDS.items()
            ]
    return tree


def named(runs) -> list[Run]:
    """The runs as tables show them: with their share of the labels."""
    return [
        replace(run, loss=f'{run.work_dir.parent.name} {run.loss}')
        for run in runs
    ]


def main() -> None:
    """Trains, measures and reports."""
    args = parse_args(1000)
    console = Console()
    folder = args.work_dir / f'semi_{args.iters}_iterations'
    # The stacks' warnings are in the logs of the runs.
    warnings.simplefilter('ignore')
    # ends the trainings too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('Stopped.'))
    started = time.monotonic()
    try:
        build_validation()
        MMLogger.get_current_instance().setLevel('WARNING')
        with sole_owner(
            folder,
            lambda: console.print('Waiting for an earlier demo to end ...'),
        ) as lock:
            tree = plan(args, folder)
            starts = named(tree)
            ends = named(run for runs in tree.values() for run in runs)
            with watch([*starts, *ends], console) as display:
                for runs in (starts, ends):
                    train_all(runs, args.jobs, lock, display)
            results = list(map(measure, ends))
    except KeyboardInterrupt:
        sys.exit('Stopped. The same command goes on from here.')
    except (ImportError, ValueError, RunError) as error:
        sys.exit(str(error))
    console.print(tabulate(results, list(LABELED), list(ENDS)))
    write_scores(results, folder / 'scores.csv')
    draw_training(ends, folder / 'pseudo_labels.png')
    for name in ('scores.csv', 'pseudo_labels.png'):
        console.print(f'  {folder / name}', highlight=False, soft_wrap=True)
    seconds = time.monotonic() - started
    console.print(f'Done in {seconds:.0f} s.', highlight=False)


if __name__ == '__main__':
    main()
