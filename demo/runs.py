"""Train and test configs with mmengine's Runner, several side by side."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.fileio import dump
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from mmseg_jml.cli import evaluate_again
from mmseg_jml.conversion.files import whole_file


@dataclass(frozen=True)
class Run:
    """A training, with a folder below ``root`` that is named after its cfg.

    The config is without the seed and the folder; tables show the name.
    """

    name: str
    seed: int
    cfg: Config
    root: Path

    @cached_property
    def folder(self) -> Path:
        """Path: Its folder, which changes with the config."""
        digest = hashlib.sha256(self.cfg.pretty_text.encode()).hexdigest()
        name = re.sub(r'\W+', '-', self.name.lower())
        return self.root / f'{name}-{digest[:8]}-seed{self.seed}'

    @property
    def figures(self) -> dict[str, float] | None:
        """dict: Figures of the evaluators, or None if it is not finished."""
        path = self.folder / 'figures.json'
        return json.loads(path.read_text()) if path.exists() else None

    @property
    def step(self) -> int:
        """int: The last iteration that mmengine has logged."""
        logs = self.folder.glob('*/vis_data/scalars.json')
        steps = [re.findall(r'"step": (\d+)}', p.read_text()) for p in logs]
        return max(map(int, sum(steps, [])), default=0)


def train(run: Run) -> None:
    """Train and test, from where an earlier process stopped."""
    cfg = run.cfg.copy()
    cfg.work_dir, cfg.experiment_name = str(run.folder), run.folder.name
    cfg.update(randomness=dict(seed=run.seed), resume=True)
    cfg.test_evaluator[0].output_dir = str(run.folder / 'predictions')
    runner = Runner.from_cfg(cfg)
    runner.train()
    figures = runner.test()
    # once more, with the fitted temperature
    metric = dict(cfg.test_evaluator[2], prefix='after')
    metric['temperature'] = figures['temperature']
    figures.update(evaluate_again(runner, metric))
    with whole_file(run.folder / 'figures.json') as unfinished:
        dump(figures, unfinished)


def train_all(runs: Sequence[Run], jobs: int, console: Console) -> None:
    """Train the runs that are not finished, ``jobs`` at a time, and say so."""
    spawn = multiprocessing.get_context('spawn')
    pool = ProcessPoolExecutor(jobs, spawn, _start_worker)
    futures = {pool.submit(train, run): run for run in runs if not run.figures}
    shown = *Progress.get_default_columns()[:2], MofNCompleteColumn()
    progress = Progress(*shown, TimeRemainingColumn(), console=console)
    total = sum(run.cfg.train_cfg.max_iters for run in runs)
    names = ', '.join(dict.fromkeys(run.name for run in runs))
    task = progress.add_task(f'{names}: iterations, time left', total=total)
    progress.update(task, completed=sum(run.step for run in runs))
    try:
        with progress:
            while futures:
                for future in wait(futures, 0.5, FIRST_COMPLETED).done:
                    future.result()
                    run = futures.pop(future)
                    miou = f'mIoU {run.figures["mIoU"]:.1f}'
                    console.print(f'{run.name}, seed {run.seed}: {miou}')
                progress.update(task, completed=sum(run.step for run in runs))
    finally:
        for process in multiprocessing.active_children():
            process.terminate()
        pool.shutdown()


def _start_worker() -> None:
    """Prepare a process for trainings, and let it die with its parent."""
    torch.set_num_threads(1)
    # the log of each run has what they print
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)

    def die_too() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=die_too, daemon=True).start()
