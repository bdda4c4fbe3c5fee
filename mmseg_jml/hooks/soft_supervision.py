"""Soft labels for a stock segmentor while it trains."""

from __future__ import annotations

import logging
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Union

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..kernels import Target
from .schedule import Number, Schedule
from .student_outputs import (
    StudentOutput,
    StudentOutputs,
    dense_heads,
    is_main,
    uses_sigmoid,
)

__all__ = [
    'AUXILIARY_LOSS',
    'MAIN_LOSS',
    'LossEntry',
    'SoftSupervision',
    'SoftTarget',
]

LossEntry = Union[dict, Sequence[dict]]
# The sources of soft labels, as they stand in the names of terms.
SOURCES = ('kd', 'soft', 'pseudo')
# The recipe of the paper; 0.4 is what stock configs give to auxiliary heads.
MAIN_LOSS = dict(type='mmseg_jml.JaccardMetricCELoss')
AUXILIARY_LOSS = dict(
    type='mmseg_jml.JaccardMetricCELoss',
    ce_weight=1.0,
    jml_weight=0.0,
    loss_weight=0.4,
    loss_name='loss_ce',
)


class SoftTarget(NamedTuple):
    """What the pixels of one student output should be.

    Attributes:
        target (Target): A target of :mod:`mmseg_jml.kernels`. The logits are
            divided by its ``temperature`` where it has one.
        weight (Tensor): (N, H, W), 0 where a pixel does not count.
    """

    target: Target
    weight: Tensor


class SoftSupervision(Hook, metaclass=ABCMeta):
    """Adds losses against soft labels to those that a segmentor computes.

    Nothing of the model is replaced, and nothing is added to its checkpoints.
    While the runner trains, hooks of torch record the logits that the heads
    hand to their ``loss_decode``, and extend what the segmentor returns in
    mode ``'loss'``. That happens within the forward pass, so that distributed
    training, autocast and gradient accumulation see ordinary losses.

    A subclass says where soft labels come from: it names the student outputs
    that learn in :meth:`prepare` and gives their targets in
    :meth:`make_targets`. The terms appear in the log as, for instance,
    ``decode.loss_kd_jml_ce``, multiplied by their weight.

    Args:
        loss (dict | Sequence[dict], optional): Losses of outputs of the main
            head, which take a target of :mod:`mmseg_jml.kernels`. None means
            ``MAIN_LOSS``.
        auxiliary_loss (dict | Sequence[dict], optional): Losses of outputs of
            auxiliary heads. None means ``AUXILIARY_LOSS``.
        label_weight (float | dict): Factor of every loss that the segmentor
            computes itself, or a schedule; see
            :class:`mmseg_jml.hooks.schedule.Schedule`.
        soft_weight (float | dict): The same for the losses against soft
            labels. Where it is 0 no target is made.

    Raises:
        TypeError: If a weight is neither a number nor a schedule.
        ValueError: If a weight is negative.
    """

    source: str  # one of SOURCES
    weight_name = 'soft_weight'

    def __init__(
        self,
        loss: LossEntry | None,
        auxiliary_loss: LossEntry | None,
        label_weight: Number,
        soft_weight: Number,
    ) -> None:
        self._entries = {
            True: _as_list(loss or MAIN_LOSS),
            False: _as_list(auxiliary_loss or AUXILIARY_LOSS),
        }
        self._schedules = {
            'label_weight': Schedule.parse('label_weight', label_weight),
            self.weight_name: Schedule.parse(self.weight_name, soft_weight),
        }
        self._numbers: dict[str, float] = {}
        self._handles: list = []

    @abstractmethod
    def prepare(self, runner: Runner, segmentor: nn.Module) -> list[str]:
        """Gets ready to make targets.

        Args:
            runner (Runner): The runner, before its first iteration.
            segmentor (nn.Module): The student, out of its wrapper.

        Returns:
            list[str]: The student outputs that will learn.
        """

    @abstractmethod
    def make_targets(
        self,
        segmentor: nn.Module,
        inputs: Tensor,
        data_samples: list,
        outputs: Mapping[str, StudentOutput],
    ) -> dict[str, SoftTarget]:
        """Makes the targets of one iteration.

        Args:
            segmentor (nn.Module): The student, out of its wrapper.
            inputs (Tensor): (N, 3, H, W), preprocessed.
            data_samples (list[SegDataSample]): One for each image.
            outputs (Mapping[str, StudentOutput]): The outputs that learn.

        Returns:
            dict[str, SoftTarget]: Targets by the name of the output.
        """

    def before_train(self, runner: Runner) -> None:
        """Prepares the targets and attaches the hooks of torch.

        Args:
            runner (Runner): The runner.
        """
        self._detach()  # a run that failed leaves its hooks behind
        segmentor = runner.model
        if is_model_wrapper(segmentor):
            segmentor = segmentor.module
        with self._explained():
            self._names = self.prepare(runner, segmentor)
            self._losses = self._build_losses(segmentor)
        self._student = StudentOutputs(segmentor)
        self._handles = [
            self._student,
            segmentor.register_forward_hook(self._supervise, with_kwargs=True),
        ]

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Reads the schedules.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Not used; the runner's count survives resuming.
            data_batch (dict, optional): Not used. Defaults to None.
        """
        self._student.take()
        for name, schedule in self._schedules.items():
            value = schedule(runner.iter, runner.max_iters)
            self._numbers[name] = value
            if schedule.changes:
                runner.message_hub.update_scalar(f'train/{name}', value)

    def after_train(self, runner: Runner) -> None:
        """Detaches the hooks of torch.

        Args:
            runner (Runner): Not used.
        """
        self._detach()

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _build_losses(self, segmentor: nn.Module) -> dict[str, nn.ModuleList]:
        """The losses of each output that learns, on the model's device."""
        heads = dense_heads(segmentor)
        device = next(segmentor.parameters()).device
        losses = {}
        for name in self._names:
            head = name.partition('.')[0]
            if head not in heads:
                raise ValueError(
                    f'Expected an output of {", ".join(heads)} to learn from '
                    f'soft labels but got {name!r}.'
                )
            losses[name] = nn.ModuleList(
                _build_loss(entry, uses_sigmoid(heads[head]))
                for entry in self._entries[is_main(head)]
            ).to(device)
        return losses

    def _supervise(
        self, segmentor: nn.Module, args: tuple, kwargs: dict, losses: dict
    ) -> dict | None:
        """Replaces the losses that the segmentor returns."""
        call = dict(zip(('inputs', 'data_samples', 'mode'), args), **kwargs)
        recorded = self._student.take()
        if call.get('mode') != 'loss':
            return None
        with self._explained():
            losses = self._weighted(losses)
            if self._numbers[self.weight_name] == 0:
                return losses
            outputs = self._select(recorded)
            targets = self.make_targets(
                segmentor, call['inputs'], call['data_samples'], outputs
            )
            for name, target in targets.items():
                self._add_terms(losses, name, outputs[name].logits, target)
        return losses

    def _weighted(self, losses: dict) -> dict:
        """A copy of the losses, with those against labels multiplied."""
        factor = self._numbers['label_weight']
        return {
            name: _times(value, factor) if _is_label_loss(name) else value
            for name, value in losses.items()
        }

    def _select(
        self, recorded: dict[str, StudentOutput]
    ) -> dict[str, StudentOutput]:
        missing = [name for name in self._names if name not in recorded]
        if missing:
            raise ValueError(
                'Expected the student to hand the logits of all pixels of '
                f'{", ".join(missing)} to its losses but got those of '
                f'{", ".join(recorded) or "no output"}.'
            )
        return {name: recorded[name] for name in self._names}

    def _add_terms(
        self, losses: dict, name: str, logits: Tensor, soft: SoftTarget
    ) -> None:
        temperature = getattr(soft.target, 'temperature', 1.0)
        if temperature != 1:
            # half precision has no digits to spare
            dtype = torch.promote_types(logits.dtype, torch.float32)
            logits = logits.to(dtype) / temperature
        for loss in self._losses[name]:
            value = loss(logits, soft.target, weight=soft.weight)
            short = loss.loss_name.removeprefix('loss_')
            key = f'{name}.loss_{self.source}_{short}'
            value = value * self._numbers[self.weight_name]
            losses[key] = losses[key] + value if key in losses else value

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Leaves the reason in the log of a run that cannot go on."""
        try:
            yield
        except Exception as error:
            self._detach()
            print_log(
                f'{type(self).__name__} stops the run. {error}',
                logger='current',
                level=logging.ERROR,
            )
            raise


def _as_list(entry: LossEntry) -> list[dict]:
    return [entry] if isinstance(entry, dict) else list(entry)


def _build_loss(entry: dict, use_sigmoid: bool) -> nn.Module:
    entry = dict(entry)
    if use_sigmoid:
        entry.setdefault('use_sigmoid', True)
    loss = MODELS.build(entry)
    if type(loss).__module__.startswith('mmseg.'):
        raise ValueError(
            'Expected a loss that takes soft targets, such as '
            'mmseg_jml.JaccardMetricCELoss or mmseg_jml.KLDivergenceLoss, but '
            f'got {entry["type"]!r}, which takes labels.'
        )
    return loss


def _is_label_loss(name: str) -> bool:
    return 'loss' in name and not any(
        f'.loss_{source}_' in name for source in SOURCES
    )


def _times(value: Tensor | list[Tensor], factor: float) -> Tensor | list:
    if factor == 1:
        return value
    if isinstance(value, list):
        return [factor * part for part in value]
    return factor * value
