"""Trains configs side by side, each in a process of its own."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mmengine.config import Config

__all__ = ['Run', 'RunError', 'shorten', 'sole_owner', 'train_all']

# Validations of a run: as many points has its learning curve.
VALIDATIONS = 7
POLL_SECONDS = 0.5


class RunError(RuntimeError):
    """A training process failed."""


@dataclass(frozen=True)
class Run:
    """One training and the folder where it is recorded.

    Args:
        loss (str): Name of the loss in tables.
        seed (int): Seed of the run.
        iters (int): Number of iterations.
        config (Path): A file that `write_config` wrote.
        work_dir (Path): Folder of the run's logs and checkpoints.
    """

    loss: str
    seed: int
    iters: int
    config: Path
    work_dir: Path

    @classmethod
    def plan(
        cls,
        base: Path,
        loss: str,
        seed: int,
        iters: int,
        folder: Path,
        validations: int = VALIDATIONS,
    ) -> Run:
        """Writes the config of a run.

        Args:
            base (Path): The config to train.
            loss (str): Name of its loss in tables.
            seed (int): Seed of the run.
            iters (int): Number of iterations.
            folder (Path): Folder of all runs of so many iterations.
            validations (int): How often to validate. Defaults to 7.

        Returns:
            Run: The run, perhaps recorded there already.

        Raises:
            RunError: If another config was trained there.
        """
        name = re.sub(r'\W+', '-', f'{loss.lower()}_seed{seed}')
        run = cls(
            loss, seed, iters, folder / f'configs/{name}.py', folder / name
        )
        cfg = Config.fromfile(base)
        cfg.randomness = dict(seed=seed)
        cfg.work_dir = str(run.work_dir)
        shorten(cfg, iters, validations)
        if run.config.exists() and run.config.read_text() != cfg.pretty_text:
            raise RunError(
                f'Expected {run.work_dir} to be a run of this config but got '
                f'one of another version of it. Remove {folder} or choose '
                'another --work-dir.'
            )
        run.config.parent.mkdir(parents=True, exist_ok=True)
        run.config.write_text(cfg.pretty_text)
        return run

    @property
    def checkpoint(self) -> Path:
        """Path: Where the trained weights are, once the run is finished."""
        return self.work_dir / f'iter_{self.iters}.pth'

    @property
    def log(self) -> Path:
        """Path: What the training process printed."""
        return self.work_dir / 'train.log'

    def is_finished(self) -> bool:
        """Tells whether the trained weights are on disk, in full.

        Returns:
            bool: True when the run's own record names them.
        """
        record = self.work_dir / 'last_checkpoint'
        return (
            record.exists()
            and Path(record.read_text()).name == self.checkpoint.name
        )

    def scalars(self) -> list[dict]:
        """Reads what the run has logged, its interrupted parts included.

        Returns:
            list[dict]: Values of training steps ('loss', ...) and validations
            ('mIoU', ...) with their 'step', in order.
        """
        logged = {}
        for path in sorted(self.work_dir.glob('*/vis_data/scalars.json')):
            for line in path.read_text().splitlines(keepends=True):
                if line.endswith('\n'):  # else it is being written
                    values = json.loads(line)
                    logged[values['step'], 'mIoU' in values] = values
        return [logged[key] for key in sorted(logged)]


def shorten(cfg: Config, iters: int, validations: int = VALIDATIONS) -> None:
    """Fits the schedule to a number of iterations.

    Args:
        cfg (Config): A config of `configs/demo`, changed in place.
        iters (int): The number.
        validations (int): How often to validate. Defaults to 7.
    """
    interval = math.ceil(iters / validations)
    warm_up, decay = cfg.param_scheduler
    warm_up.end = decay.begin = iters * warm_up.end // decay.end
    decay.end = cfg.train_cfg.max_iters = iters
    cfg.train_cfg.val_interval = interval
    cfg.default_hooks.checkpoint.interval = interval
    cfg.default_hooks.logger.interval = min(20, interval)


@contextmanager
def sole_owner(
    folder: Path, when_waiting: Callable[[], None]
) -> Iterator[IO[str]]:
    """Waits until no other demo, nor a run that one left, uses a folder.

    Args:
        folder (Path): The folder.
        when_waiting (Callable): Called if there is something to wait for.

    Yields:
        IO[str]: The lock. A process that inherits it holds it to its end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / 'lock').open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            when_waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def train_all(
    runs: Sequence[Run],
    jobs: int,
    lock: IO[str],
    watch: Callable[[], None] | None = None,
) -> None:
    """Trains the runs that are not finished, one thread each.

    Args:
        runs (Sequence[Run]): The runs, in the order of their start.
        jobs (int): How many to train at a time.
        lock (IO[str]): What `sole_owner` gave.
        watch (Callable, optional): Called twice a second. Defaults to None.

    Raises:
        RunError: If one of them fails; the others are then stopped.
    """
    waiting = [run for run in runs if not run.is_finished()]
    active: dict[Run, subprocess.Popen] = {}
    try:
        while waiting or active:
            while waiting and len(active) < jobs:
                run = waiting.pop(0)
                active[run] = _start(run, lock)
            time.sleep(POLL_SECONDS)
            for run in [r for r, p in active.items() if p.poll() is not None]:
                _check(run, active.pop(run).returncode)
            if watch is not None:
                watch()
    finally:
        for process in active.values():
            process.terminate()
        for process in active.values():
            process.wait()


def _start(run: Run, lock: IO[str]) -> subprocess.Popen:
    """Starts the same tool that a user trains with."""
    run.work_dir.mkdir(parents=True, exist_ok=True)
    tool = Path(__file__).parents[1] / '.mim/tools/train.py'
    with run.log.open('a') as log:
        return subprocess.Popen(
            [sys.executable, tool, run.config, '--resume'],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, 'OMP_NUM_THREADS': '1'},
            pass_fds=[lock.fileno()],
        )


def _check(run: Run, code: int) -> None:
    if code or not run.is_finished():
        end = '\n'.join(run.log.read_text().splitlines()[-15:])
        raise RunError(
            f'The training of {run.loss} with seed {run.seed} ended with exit '
            f'code {code}. Its log, {run.log}, ends with\n{end}'
        )
