"""The life of a mean teacher in a run."""

from __future__ import annotations

import logging
from numbers import Real

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from .batch_statistics import share_statistics
from .mean_teacher import MeanTeacher

__all__ = ['AverageKeeper']


class AverageKeeper(Hook):
    """Starts, updates, saves, restores and evaluates an average of the model.

    A hook that has it for a base calls :meth:`keep_average` when it is built
    and :meth:`start_average` before training.
    """

    def keep_average(self, momentum: float | None, evaluates: bool) -> None:
        """Chooses what to do.

        Args:
            momentum (float, optional): Of :class:`MeanTeacher`. None keeps
                none.
            evaluates (bool): Whether validation and test evaluate it too.

        Raises:
            ValueError: If the momentum is out of range.
        """
        if momentum is not None and not (
            isinstance(momentum, Real) and 0.5 <= momentum < 1
        ):
            raise ValueError(
                'Expected momentum, what the average keeps of itself in a '
                f'step, to be in [0.5, 1) but got {momentum!r}. The momentum '
                "of mmengine's averages is 1 minus this one."
            )
        self._momentum, self._evaluates = momentum, evaluates
        self._average: MeanTeacher | None = None

    def start_average(
        self, runner: Runner, segmentor: nn.Module
    ) -> nn.Module | None:
        """Restores the average, or begins with a copy of the student.

        Args:
            runner (Runner): The runner, resumed if it is to be.
            segmentor (nn.Module): The student.

        Returns:
            nn.Module | None: The averaged segmentor, if there is one.
        """
        if self._average is None:
            return None
        restored = runner.iter > 0 and self._average.load(self._saved)
        if not restored:
            self._average.restart(segmentor)
        if runner.iter > 0 and not restored:
            _warn(
                'The checkpoint has no mean teacher: it starts as a copy of '
                'the student.'
            )
        self._saved = {}
        return self._average.model

    def before_run(self, runner: Runner) -> None:
        """Copies the student while nothing is attached to it.

        Args:
            runner (Runner): The runner.
        """
        self._saved: dict = {}
        if self._momentum is not None and self._average is None:
            self._average = MeanTeacher(_student(runner), self._momentum)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keeps the average until it is clear what it is for.

        Args:
            runner (Runner): Not used.
            checkpoint (dict): What was loaded.
        """
        self._saved = checkpoint

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Saves the average.

        Args:
            runner (Runner): Not used.
            checkpoint (dict): What will be saved.
        """
        if self._average is not None:
            self._average.save(checkpoint)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Takes the student into the average.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Not used.
            data_batch (dict, optional): Not used. Defaults to None.
            outputs (dict, optional): Not used. Defaults to None.
        """
        segmentor = _student(runner)
        share_statistics(segmentor)
        if self._average is not None:
            self._average.update(segmentor)

    def after_val_epoch(
        self, runner: Runner, metrics: dict | None = None
    ) -> None:
        """Evaluates the average too, if asked.

        Args:
            runner (Runner): The runner.
            metrics (dict, optional): Gets its figures. Defaults to None.
        """
        self._evaluate(runner, 'val', metrics)

    def after_test_epoch(
        self, runner: Runner, metrics: dict | None = None
    ) -> None:
        """Evaluates the average too, if asked.

        Args:
            runner (Runner): The runner.
            metrics (dict, optional): Gets its figures. Defaults to None.
        """
        self._evaluate(runner, 'test', metrics)

    def _evaluate(self, runner: Runner, split: str, metrics: dict) -> None:
        if not self._evaluates:
            return
        loaded = bool(self._saved) and self._average.load(self._saved)
        if loaded or (not self._saved and self._average.has_learned):
            self._average.evaluate(runner, split, metrics)
        else:
            _warn('The checkpoint has no mean teacher to evaluate.')


def _student(runner: Runner) -> nn.Module:
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def _warn(text: str) -> None:
    print_log(text, logger='current', level=logging.WARNING)
