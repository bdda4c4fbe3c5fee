"""The average of a student's weights over its training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partialmethod

from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseAveragedModel, BaseModel
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict, weights_to_cpu

from .options import is_number, refuse
from .step_watch import StepWatch
from .teacher_quality import evaluate_beside

__all__ = ['MeanTeacher']


class MeanTeacher(Hook):
    """Keep a moving average of the student's weights beside the student.

    mmengine's ``EMAHook`` builds and updates the average. As a hook of the
    run it would also validate and save the average in place of the student;
    here the student stays what is validated, tested and saved. The average
    has an entry of its own in checkpoints, and can be evaluated too.

    At step t of the optimizer, counted from 0, the average becomes
    ``m * average + (1 - m) * student`` with ``m = min(1 - 1 / (t + 1),
    momentum)``: "Mean teachers are better role models: Weight-averaged
    consistency targets improve semi-supervised deep learning results" (arXiv
    1703.01780). Step 0 copies the student, and is the last iteration of the
    warm-up. Steps that AMP skips do not count.

    It is mixed into a :class:`SoftSupervision`, whose ``suffix`` tells hooks
    of one kind apart. The options are those of
    :class:`~mmseg_jml.PseudoLabelHook`; it is a ValueError if one is out of
    range. Only the teacher 'ema' has an average.
    """

    def __init__(
        self,
        teacher: str | dict,
        momentum: float,
        evaluates: bool,
        warm_up: int,
    ) -> None:
        _check_options(teacher, momentum, evaluates)
        self._saved: dict = {}
        self._evaluates = evaluates
        self._ema: EMAHook | None = None
        self._steps: StepWatch | None = None
        #: The average with its ``steps``, from the first run on.
        self.average: BaseAveragedModel | None = None
        if teacher == 'ema':
            self._ema = EMAHook(
                'MomentumAnnealingEMA',
                begin_iter=warm_up,
                momentum=1 - momentum,
                gamma=1,
                update_buffers=True,
            )

    def _key(self, runner: Runner) -> str:
        return f'pseudo_label_teacher{self.suffix(runner)}'

    def before_run(self, runner: Runner) -> None:
        """Copy the student while no hook of torch is attached to it."""
        if self._ema and self.average is None:
            self._ema.before_run(runner)
            self.average = self._ema.ema_model.eval()

    def start_average(
        self, runner: Runner, segmentor: BaseModel
    ) -> BaseModel | None:
        """Restore the average, or start it as a copy of the student.

        Return None for other teachers. It is a ValueError if the checkpoint
        has the average of another student.
        """
        if self.average is None:
            return None
        self._steps = StepWatch(runner.optim_wrapper)
        resumed = runner.iter > 0
        if not (resumed and self._restore(runner)):
            self.average.module.load_state_dict(segmentor.state_dict())
            self.average.steps.zero_()
            if resumed:
                logging.getLogger('mmseg_jml').warning(
                    'The checkpoint has no mean teacher: it starts as a copy '
                    'of the student.'
                )
        return self.average.module

    def _restore(self, runner: Runner) -> bool:
        """Load the average; return whether the checkpoint has one."""
        key = self._key(runner)
        if not self._saved.get(key):
            return False
        try:  # mmengine's function unwraps a model for TTA
            load_state_dict(self.average, self._saved[key], strict=True)
        except RuntimeError as error:
            raise ValueError(
                f'Expected {key!r} in the checkpoint to be an average of '
                f'this student but got: {error}'
            ) from error
        return True

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the checkpoint until training or evaluation needs it.

        FlexibleRunner loads it before :meth:`before_run` builds the average.
        """
        self._saved = checkpoint

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the average beside the student."""
        if self.average is not None:
            state = weights_to_cpu(self.average.state_dict())
            checkpoint[self._key(runner)] = state

    def before_train_epoch(self, runner: Runner) -> None:
        """Release the checkpoint, which has been read by now."""
        self._saved = {}

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Update the average after a step of the optimizer."""
        if self._ema and self._steps and self._steps.taken():
            self._ema.after_train_iter(runner, batch_idx)

    def after_run(self, runner: Runner) -> None:
        """Stop watching the optimizer."""
        if self._steps is not None:
            self._steps.remove()

    def _evaluate(
        self, split: str, runner: Runner, metrics: dict | None = None
    ) -> None:
        """Evaluate the average too, if asked, and add its metrics."""
        if not self._evaluates or self.average is None or metrics is None:
            return
        log = logging.getLogger('mmseg_jml')
        if not self._restore(runner) and (self._saved or runner.iter == 0):
            log.warning('The checkpoint has no mean teacher to evaluate.')
            return
        log.info('The same for the mean teacher:')
        name = f'teacher{self.suffix(runner)}'
        metrics.update(
            evaluate_beside(runner, self.average.module, split, name)
        )

    after_val_epoch = partialmethod(_evaluate, 'val')
    after_test_epoch = partialmethod(_evaluate, 'test')


def _check_options(teacher: object, momentum: object, evaluates: bool) -> None:
    keys = {*teacher} if isinstance(teacher, Mapping) else None
    if keys != {'config', 'checkpoint'} and teacher not in ('ema', 'self'):
        expected = "'ema', 'self' or dict(config=..., checkpoint=...)"
        refuse('teacher', expected, teacher)
    if teacher == 'ema' and not (is_number(momentum, 0.5, 1) and momentum < 1):
        raise ValueError(
            'Expected momentum, the share of itself that the average keeps '
            f'in a step, to be in [0.5, 1) but got {momentum!r}. The '
            "momentum of mmengine's averages is 1 minus this one."
        )
    if evaluates and teacher != 'ema':
        raise ValueError(
            "Expected teacher='ema' for evaluate_teacher=True but got "
            f'{teacher!r}, which is no average.'
        )
