"""Shows trainings while they run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from .runs import Run

__all__ = ['Bars', 'Lines', 'watch']


class Bars:
    """A bar for each run, on a terminal.

    Args:
        runs (Sequence[Run]): The runs.
        console (Console): Where to show them.
    """

    def __init__(self, runs: Sequence[Run], console: Console) -> None:
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn('loss {task.fields[loss]}  mIoU {task.fields[miou]}'),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[Run, TaskID] = {
            run: self._progress.add_task(
                f'{run.loss}, seed {run.seed}',
                total=run.iters,
                start=False,
                loss='    -',
                miou='    -',
            )
            for run in runs
        }

    def __enter__(self) -> Bars:
        """Starts to draw."""
        self._progress.start()
        self()
        return self

    def __exit__(self, *error: object) -> None:
        """Leaves the last state on the screen."""
        self._progress.stop()

    def __call__(self) -> None:
        """Brings the bars up to date."""
        for run, task in self._tasks.items():
            scalars = run.scalars()
            if not scalars:
                continue
            self._progress.start_task(task)
            for values in scalars:
                if 'loss' in values:
                    self._progress.update(task, loss=f'{values["loss"]:.3f}')
                if 'mIoU' in values:
                    self._progress.update(task, miou=f'{values["mIoU"]:5.1f}')
            step = run.iters if run.is_finished() else scalars[-1]['step']
            self._progress.update(task, completed=step)


class Lines:
    """A line for each validation of a run, for log files.

    Args:
        runs (Sequence[Run]): The runs.
        console (Console): Where to print them.
    """

    def __init__(self, runs: Sequence[Run], console: Console) -> None:
        self._console = console
        self._shown = {run: 0 for run in runs}

    def __enter__(self) -> Lines:
        """Shows what was done before."""
        self()
        return self

    def __exit__(self, *error: object) -> None:
        """Shows what came last."""
        self()

    def __call__(self) -> None:
        """Prints the validations since the last call."""
        for run, shown in self._shown.items():
            points = [v for v in run.scalars() if 'mIoU' in v]
            self._shown[run] = len(points)
            for values in points[shown:]:
                self._console.print(
                    f'{run.loss}, seed {run.seed}: '
                    f'{values["step"]}/{run.iters} iterations, '
                    f'mIoU {values["mIoU"]:.1f}',
                    highlight=False,
                )


def watch(runs: Sequence[Run], console: Console) -> Bars | Lines:
    """Chooses the display that suits where the output goes.

    Args:
        runs (Sequence[Run]): The runs.
        console (Console): A terminal, a pipe or a file.

    Returns:
        Bars | Lines: A context manager; calling it brings it up to date.
    """
    return (Bars if console.is_terminal else Lines)(runs, console)
