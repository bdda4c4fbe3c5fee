"""Shows what a teacher does for a small student, on the data of the demo.

``python tools/demo_kd.py`` trains a teacher once, and a student of a quarter
of its width over three seeds: by the labels alone, with a teacher's
Kullback-Leibler divergence, and with its Jaccard metric loss. All share the
loss against labels, the optimizer, the schedule and the seeds. Started again,
it goes on where it stopped.
"""

import os
import signal
import sys
import time
import warnings
from pathlib import Path

from demo import build_validation, parse_args
from mmengine.logging import MMLogger
from rich.console import Console

import mmseg_jml
from mmseg_jml.demo.figures import draw_predictions
from mmseg_jml.demo.progress import watch
from mmseg_jml.demo.results import measure, table, write_scores
from mmseg_jml.demo.runs import Run, RunError, sole_owner, train_all

CONFIGS = Path(mmseg_jml.__file__).parent / '.mim/configs/demo_kd'
TEACHER = 'fpn_r18-32_1xb16-jml-ce-1400_digit-scenes-64x64.py'
STUDENTS = {
    'student': 'fpn_r18-8_1xb16-jml-ce-1400_digit-scenes-64x64.py',
    'student + KL': 'kd-kl_fpn_r18-32_fpn_r18-8_'
    '1xb16-1400_digit-scenes-64x64.py',
    'student + JML': 'kd-jml_fpn_r18-32_fpn_r18-8_'
    '1xb16-1400_digit-scenes-64x64.py',
}


def plan(args, folder) -> tuple[Run, list[Run]]:
    """Writes the configs of the teacher and of all students."""
    teacher = Run.plan(CONFIGS / TEACHER, 'teacher', 0, args.iters, folder)
    # the configs of the students take it from there
    os.environ['TEACHER'] = str(teacher.checkpoint.resolve())
    students = [
        Run.plan(CONFIGS / config, name, seed, args.iters, folder)
        for name, config in STUDENTS.items()
        for seed in range(args.seeds)
    ]
    return teacher, students


def train(teacher, students, args, lock, console) -> None:
    """Trains the teacher beside the students that do without, then all."""
    alone = [run for run in students if run.loss == 'student']
    with watch([teacher, *students], console) as display:
        for runs in ([teacher, *alone], students):
            train_all(runs, args.jobs, lock, display)


def main() -> None:
    """Trains, measures and reports."""
    args = parse_args()
    console = Console()
    folder = args.work_dir / f'kd_{args.iters}_iterations'
    # The stacks' warnings are in the logs of the runs.
    warnings.simplefilter('ignore')
    # ends the trainings too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('Stopped.'))
    started = time.monotonic()
    try:
        validation = build_validation()
        MMLogger.get_current_instance().setLevel('WARNING')
        with sole_owner(
            folder,
            lambda: console.print('Waiting for an earlier demo to end ...'),
        ) as lock:
            teacher, students = plan(args, folder)
            train(teacher, students, args, lock, console)
            results = list(map(measure, [teacher, *students]))
    except KeyboardInterrupt:
        sys.exit('Stopped. The same command goes on from here.')
    except (ImportError, ValueError, RunError) as error:
        sys.exit(str(error))
    console.print(table(results))
    write_scores(results, folder / 'scores.csv')
    draw_predictions(results, validation, folder / 'predictions.png')
    for name in ('scores.csv', 'predictions.png'):
        console.print(f'  {folder / name}', highlight=False, soft_wrap=True)
    seconds = time.monotonic() - started
    console.print(f'Done in {seconds:.0f} s.', highlight=False)


if __name__ == '__main__':
    main()
