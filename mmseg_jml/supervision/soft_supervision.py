"""The base of all hooks that teach by soft labels."""

from __future__ import annotations

import logging
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Callable

from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner

from ..heads import outputs_to_teach, unwrapped
from .lesson import Lesson, StudentOutput, StudentPass
from .options import check_losses, check_outputs
from .recorders import StudentOutputs
from .schedule import Number, Schedule
from .soft_losses import LossEntry, SoftLosses, SupervisedLosses

__all__ = ['SoftSupervision']


class SoftSupervision(Hook, metaclass=ABCMeta):
    """Add losses against soft labels to those that a segmentor computes.

    Nothing of the model is replaced, and nothing is added to its checkpoints.
    While the runner trains, hooks of torch record the logits that the heads
    hand to their ``loss_decode``, and extend what the segmentor returns in
    mode ``'loss'``. That happens within the forward pass, so that distributed
    training, autocast and gradient accumulation see ordinary losses.

    A subclass makes the soft labels of the outputs that learn in
    :meth:`teach`. Each :class:`Lesson` is handed to all functions in
    ``listeners`` too.

    The terms appear in the log as, for instance, ``decode.loss_kd_jml_ce``,
    multiplied by their weight. A second hook of the same ``source`` logs
    ``decode.loss_kd_2_jml_ce``, and has ``_2`` in the names of its figures
    and schedules.

    The arguments are those of :class:`~mmseg_jml.hooks.DistillationHook`, with
    ``soft_weight`` for its ``teacher_weight``; a subclass has another name for
    it in ``weight_name``. The outputs are a list of names or, if
    ``pairs_outputs``, a dictionary. No target is made where the weight is 0.

    Raises:
        TypeError: If a weight is neither a number nor a schedule, or a loss
            no entry.
        ValueError: If a weight is negative or outputs are no names; when
            training starts, if no output has a loss.
    """

    source: str  # part of the names of terms, such as 'kd'
    weight_name = 'soft_weight'
    pairs_outputs = False

    def __init__(
        self,
        loss: LossEntry | None,
        auxiliary_loss: LossEntry | None,
        outputs: Sequence[str] | dict[str, str] | None,
        label_weight: Number,
        soft_weight: Number,
    ) -> None:
        check_losses('loss', loss)
        check_losses('auxiliary_loss', auxiliary_loss)
        check_outputs(outputs, self.pairs_outputs)
        self._entries, self._outputs = (loss, auxiliary_loss), outputs
        weights = {'label_weight': label_weight, self.weight_name: soft_weight}
        self._schedules = {
            name: Schedule.parse(name, value)
            for name, value in weights.items()
        }
        self._numbers: dict[str, float] = {}
        self._handles: list = []  # a subclass may add to them in prepare()
        self.listeners: list[Callable[[Lesson], object]] = []

    def prepare(self, runner: Runner, segmentor: BaseModel) -> list[str]:
        """Prepare to teach a student, given without its wrapper.

        Returns:
            list[str]: Names of the student outputs that learn.
        """
        return list(self._outputs or outputs_to_teach(segmentor))

    @abstractmethod
    def teach(self, segmentor: BaseModel, labelled: StudentPass) -> Lesson:
        """Make the targets of one iteration.

        Args:
            segmentor (BaseModel): The student, without its wrapper.
            labelled (StudentPass): The pass that has just ended.

        Returns:
            Lesson: The targets of this pass, or of another pass of the
            student, for the outputs that :meth:`select` returns.
        """

    def before_train(self, runner: Runner) -> None:
        """Prepare the targets and attach the hooks of torch."""
        self._detach()  # a run that failed leaves its hooks behind
        segmentor = unwrapped(runner.model)
        self._suffix = self.suffix(runner)
        self.name = self.source + self._suffix
        with self._explained():
            self._running = {
                name: schedule.in_iterations(name, runner.train_loop)
                for name, schedule in self._schedules.items()
            }
            names = self.prepare(runner, segmentor)
            self._losses = SoftLosses(
                segmentor, names, *self._entries, self.name
            )
        self._student = StudentOutputs(segmentor, self._losses.full_size)
        self._handles += [
            self._student,
            segmentor.register_forward_hook(self._supervise, with_kwargs=True),
        ]

    def suffix(self, runner: Runner) -> str:
        """Return '' for the first hook of its source, '_2' for the second."""
        alike = [
            hook
            for hook in runner.hooks
            if isinstance(hook, SoftSupervision) and hook.source == self.source
        ]
        place = next((i for i, h in enumerate(alike) if h is self), 0)
        return f'_{place + 1}' if place else ''

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Read the schedules at the runner's iteration."""
        for name, schedule in self._running.items():
            value = schedule(runner.iter, runner.max_iters)
            self._numbers[name] = value
            if schedule.changes:
                runner.message_hub.update_scalar(
                    f'train/{name}{self._suffix}', value
                )

    def after_train(self, runner: Runner) -> None:
        """Detach the hooks of torch."""
        self._detach()

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _supervise(
        self, segmentor: BaseModel, args: tuple, kwargs: dict, losses: dict
    ) -> SupervisedLosses | None:
        """Add to the losses that the segmentor returns."""
        call = dict(zip(('inputs', 'data_samples', 'mode'), args), **kwargs)
        recorded = self._student.take()
        if call.get('mode') != 'loss':
            return None
        labelled = StudentPass(call['inputs'], call['data_samples'], recorded)
        losses = SupervisedLosses(losses)
        with self._explained():
            losses.weigh_labels(self._numbers['label_weight'])
            factor = self._numbers[self.weight_name]
            if factor == 0:
                return losses
            lesson = self.teach(segmentor, labelled)
            for name, target in lesson.targets.items():
                output = lesson.student.outputs[name]
                losses.add(self._losses.terms(name, output, target, factor))
            for name, value in lesson.figures.items():
                suffix = '' if 'loss' in name else self._suffix
                losses.add({name + suffix: value})
        for listen in self.listeners:
            listen(lesson)
        return losses

    def select(
        self, recorded: dict[str, StudentOutput]
    ) -> dict[str, StudentOutput]:
        """Select the outputs that have a loss; none of them may be missing."""
        names = self._losses.names
        missing = [name for name in names if name not in recorded]
        if missing:
            raise ValueError(
                'Expected the student to hand the logits of all pixels of '
                f'{", ".join(missing)} to its losses but got those of '
                f'{", ".join(recorded) or "no output"}.'
            )
        return {name: recorded[name] for name in names}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Log the reason why a run stops, and detach the hooks of torch."""
        try:
            yield
        except Exception as error:
            self._detach()
            logging.getLogger('mmseg_jml').error(
                f'{type(self).__name__} stops the run. {error}'
            )
            raise
