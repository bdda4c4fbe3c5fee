"""The average of a student's weights over its training."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path

import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.model import BaseAveragedModel
from mmengine.optim import BaseOptimWrapper
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict, weights_to_cpu
from torch import nn

__all__ = ['MeanTeacher']

# What metrics of mmengine and mmseg call the places that they write to.
_PLACES = 'output_dir', 'out_file_path'


class MeanTeacher(Hook):
    """mmengine's average of the student, beside it in place of instead of it.

    An ``EMAHook`` builds the average and updates it. In a run of its own it
    would also validate and save the average as if it were the model; here the
    student stays what is validated, tested and saved. The average has an
    entry of its own in checkpoints and, where asked, is evaluated after the
    student.

    After step t (from 0) of the optimizer the average keeps
    ``min(1 - 1 / (t + 1), momentum)`` of itself: "Mean teachers are better
    role models" (arXiv 1703.01780).

    Args:
        momentum (float, optional): What the average keeps of itself in a
            step, in [0.5, 1). None keeps no average.
        evaluates (bool): Whether validation and test evaluate it too.

    Raises:
        ValueError: If the momentum is out of range.
    """

    def __init__(self, momentum: float | None, evaluates: bool) -> None:
        self._saved, self._evaluates = {}, evaluates
        self._ema: EMAHook | None = None
        #: The average with its ``steps``, from the first run on.
        self.average: BaseAveragedModel | None = None
        if momentum is None:
            return
        if not (isinstance(momentum, Real) and 0.5 <= momentum < 1):
            raise ValueError(
                'Expected momentum, what the average keeps of itself in a '
                f'step, to be in [0.5, 1) but got {momentum!r}. The momentum '
                "of mmengine's averages is 1 minus this one."
            )
        self._ema = EMAHook(
            'MomentumAnnealingEMA',
            momentum=1 - momentum,
            gamma=1,
            update_buffers=True,
        )

    def own_name(self, runner: Runner) -> str:
        """The name of this teacher in checkpoints and figures.

        Args:
            runner (Runner): The runner, which may have several.

        Returns:
            str: ``teacher``, and ``teacher_2`` and so on for others.
        """
        return 'teacher'

    def _key(self, runner: Runner) -> str:
        return f'pseudo_label_{self.own_name(runner)}'

    def before_run(self, runner: Runner) -> None:
        """Copies the student while no hook of torch is attached to it.

        Args:
            runner (Runner): The runner.
        """
        if self._ema and self.average is None:
            self._ema.before_run(runner)
            self.average = self._ema.ema_model.eval()

    def start_average(
        self, runner: Runner, segmentor: nn.Module
    ) -> nn.Module | None:
        """Restores the average, or begins with a copy of the student.

        Args:
            runner (Runner): The runner, resumed if it is to be.
            segmentor (nn.Module): The student.

        Returns:
            nn.Module | None: The averaged segmentor, if there is one.

        Raises:
            ValueError: If the checkpoint has that of another student.
        """
        if self.average is None:
            return None
        resumed = runner.iter > 0
        if not (resumed and self._restore(runner)):
            self.average.module.load_state_dict(segmentor.state_dict())
            self.average.steps.zero_()
            if resumed:
                _warn(
                    'The checkpoint has no mean teacher: it starts as a copy '
                    'of the student.'
                )
        self._saved = {}
        return self.average.module

    def _restore(self, runner: Runner) -> bool:
        """Takes the average from the checkpoint, if it has one."""
        key = self._key(runner)
        state = dict(self._saved.get(key) or {})
        if not state:
            return False
        self.average.steps.copy_(state.pop('steps'))
        weights = {re.sub(r'^module\.', '', k): v for k, v in state.items()}
        try:  # mmengine's function looks into the wrapper of TTA
            load_state_dict(self.average.module, weights, strict=True)
        except RuntimeError as error:
            raise ValueError(
                f'Expected {key!r} in the checkpoint to be an average of '
                f'this student but got: {error}'
            ) from error
        return True

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keeps the checkpoint until it is clear what it is for.

        FlexibleRunner loads before it calls :meth:`before_run`.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was loaded.
        """
        self._saved = checkpoint

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Saves the average beside the student.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What will be saved.
        """
        if self.average is not None:
            state = weights_to_cpu(self.average.state_dict())
            checkpoint[self._key(runner)] = state

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Takes the student into the average after a step of the optimizer.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Number of the batch.
            data_batch (dict, optional): The batch. Defaults to None.
            outputs (dict, optional): The losses. Defaults to None.
        """
        if self._ema and _has_stepped(runner.optim_wrapper):
            self._ema.after_train_iter(runner, batch_idx)

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

    @torch.no_grad()
    def _evaluate(self, runner: Runner, split: str, metrics: dict) -> None:
        """Evaluates as the loop has just done with the student."""
        if not self._evaluates:
            return
        loaded = self._restore(runner)
        if not loaded and (self._saved or self.average.steps == 0):
            _warn('The checkpoint has no mean teacher to evaluate.')
            return
        print_log('The same for the mean teacher:', logger='current')
        model, name = self.average.module, self.own_name(runner)
        loop = getattr(runner, f'{split}_loop')
        device = next(model.parameters()).device.type
        half = torch.autocast(device, enabled=getattr(loop, 'fp16', False))
        with _named(name, loop.evaluator), half:
            for batch in loop.dataloader:
                samples = model.test_step(batch)
                loop.evaluator.process(data_samples=samples, data_batch=batch)
            found = loop.evaluator.evaluate(len(loop.dataloader.dataset))
        for key, value in found.items():
            metrics[key] = value
            runner.message_hub.update_scalar(f'{split}/{key}', value)


def _has_stepped(optim_wrapper: BaseOptimWrapper) -> bool:
    """Whether the gradients of this iteration have been applied."""
    asked = getattr(optim_wrapper, 'should_update', None)
    return asked is None or asked()  # DeepSpeed accumulates by itself


@contextmanager
def _named(name: str, evaluator: Evaluator) -> Iterator[None]:
    """Lets metrics put a name before their figures, files and pictures."""
    kept = []
    for metric in evaluator.metrics:
        moved = dict(prefix='/'.join(filter(None, (name, metric.prefix))))
        for key in _PLACES:
            if getattr(metric, key, None) is not None:
                moved[key] = _beside(Path(getattr(metric, key)), key, name)
        kept += ((metric, key, getattr(metric, key)) for key in moved)
        for key, value in moved.items():
            setattr(metric, key, value)
    try:
        yield
    finally:
        for metric, key, value in kept:
            setattr(metric, key, value)


def _beside(place: Path, key: str, name: str) -> str:
    """A folder of this name inside the place, or the file in such a one."""
    is_file = key == 'out_file_path'
    folder = (place.parent if is_file else place) / name
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / place.name if is_file else folder)


def _warn(text: str) -> None:
    print_log(text, logger='current', level=logging.WARNING)
