"""Knowledge distillation into a stock segmentor."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from ..functional import average_teachers, teacher_target
from ..heads import auxiliary_heads, main_head
from ..kernels import TeacherLogits
from ..registry import HOOKS
from ..supervision.schedule import Number, Schedule
from ..supervision.soft_losses import LossEntry, SoftTarget
from ..supervision.soft_supervision import Lesson, SoftSupervision, StudentPass
from ..supervision.student_outputs import StudentOutput
from ..supervision.teacher import Teacher
from ..supervision.teacher_checkpoint import build_frozen, check_classes

__all__ = ['DistillationHook']

# Reading every logit makes the host wait for a GPU.
_CHECK_INTERVAL = 100
_PRECISIONS = {'float16': torch.float16, 'bfloat16': torch.bfloat16}


@HOOKS.register_module()
class DistillationHook(SoftSupervision):
    """Lets any stock segmentor learn from any other.

    The defaults are the recipe of the Jaccard metric losses paper (arXiv
    2302.05666): half label, half teacher; cross-entropy and Jaccard metric
    loss 0.25 : 0.75 on the main head; cross-entropy on the auxiliary head.

    The teacher sees the student's preprocessed images, normalised as its own
    config says. It belongs to this hook alone: it is in no checkpoint, no
    optimizer and no gradient bucket, and where ``teacher_weight`` is 0 it does
    not run. Pixels that the label ignores, padding among them, do not count.

    Args:
        teacher (str | dict | Config | Sequence): Path of a config, also that
            of an installed package as ``mmseg::pspnet/...``, or a config.
            Several teachers are averaged in probability.
        checkpoint (str | Sequence[str]): Path or URL of each teacher's
            weights. One config serves several checkpoints.
        loss (dict | Sequence[dict], optional): Losses of the main head
            against its teacher. None means
            ``dict(type='mmseg_jml.JaccardMetricCELoss')``. Defaults to None.
        auxiliary_loss (dict | Sequence[dict], optional): Losses of auxiliary
            heads. None means its cross-entropy alone, ``ce_weight=1.0,
            jml_weight=0.0, loss_weight=0.4``. Defaults to None.
        outputs (dict[str, str], optional): Which output of the student learns
            from which of the teacher, like ``dict(decode='decode',
            aux='decode')``; :class:`StudentOutputs` has the names. None: the
            main output from the main output, and an auxiliary head from the
            teacher's at the same place, if it has one. Defaults to None.
        label_weight (float | dict): Factor of the losses of the student's own
            config, or a schedule such as ``dict(type='linear', start=1.0,
            stop=0.5, begin=0, end=20000)``. Defaults to 0.5.
        teacher_weight (float | dict): The same for the losses against the
            teacher. Defaults to 0.5.
        temperature (float | dict): Divides the logits of both. Defaults to
            1.0.
        amp (str, optional): 'float16' or 'bfloat16' runs the teacher under
            autocast. None runs it in float32. Defaults to None.
        check_classes (bool): Whether the classes of a teacher must have the
            names of the student's. Their number always has to be the same.
            Defaults to True.
        strict (bool): Whether every weight of a teacher must be in its
            checkpoint, and no other. If not, those that do not fit are
            logged. Defaults to True.

    Raises:
        TypeError: If a number or schedule is neither, or another option is of
            no kind that it can be.
        ValueError: If an option has no meaning; when training starts, also
            if teacher and student have different classes, if the checkpoint
            does not fit, or if the student has no logits to learn with.
        FileNotFoundError: When training starts, if a file is missing.
        FloatingPointError: If a teacher answers with numbers that are not
            finite; looked at in the first and then in every 100th iteration.
    """

    source = 'kd'
    weight_name = 'teacher_weight'

    def __init__(
        self,
        teacher: str | dict | Config | Sequence,
        checkpoint: str | Sequence[str],
        loss: LossEntry | None = None,
        auxiliary_loss: LossEntry | None = None,
        outputs: dict[str, str] | None = None,
        label_weight: Number = 0.5,
        teacher_weight: Number = 0.5,
        temperature: Number = 1.0,
        amp: str | None = None,
        check_classes: bool = True,
        strict: bool = True,
    ) -> None:
        super().__init__(loss, auxiliary_loss, label_weight, teacher_weight)
        self._schedules['temperature'] = Schedule.parse(
            'temperature', temperature, low=0.01
        )
        self._sources = _pair_up(teacher, checkpoint)
        _check_outputs(outputs)
        self._outputs = outputs
        self._check_classes, self._strict = check_classes, strict
        if amp is not None and amp not in _PRECISIONS:
            raise ValueError(
                f"Expected amp to be 'float16', 'bfloat16' or None but got "
                f'{amp!r}.'
            )
        self._amp = _PRECISIONS.get(amp)
        self._teachers: list[Teacher] = []

    def prepare(self, runner: Runner, segmentor: nn.Module) -> list[str]:
        """Builds the teachers and pairs their outputs with the student's.

        Args:
            runner (Runner): The runner, before its first iteration.
            segmentor (nn.Module): The student.

        Returns:
            list[str]: The student outputs that learn.
        """
        main = main_head(segmentor)
        dataset = runner.train_loop.dataloader.dataset
        classes = getattr(dataset, 'metainfo', {}).get('classes')
        device = next(segmentor.parameters()).device
        self._teachers = []
        for config, checkpoint in self._sources:
            model, known = build_frozen(config, checkpoint, self._strict)
            known = known if self._check_classes else None
            check_classes(segmentor, model, classes, known)
            self._teachers.append(
                Teacher(
                    model.to(device),
                    segmentor.data_preprocessor,
                    self._amp,
                    keeps_size=True,
                )
            )
        self._pairs = self._outputs or self._default_pairs(segmentor, main)
        for name in self._pairs.values():
            for teacher in self._teachers:
                if name not in teacher.outputs:
                    raise ValueError(
                        'Expected outputs to take an output of the teacher, '
                        f'{", ".join(teacher.outputs)}, but got {name!r}.'
                    )
        self._unchecked = True
        return list(self._pairs)

    def _default_pairs(self, segmentor: nn.Module, main: str) -> dict:
        """The main outputs, and the auxiliary ones of the same place."""
        common = [
            name
            for name in self._teachers[0].outputs[1:]
            if all(name in teacher.outputs for teacher in self._teachers)
        ]
        pairs = dict(zip(auxiliary_heads(segmentor), common))
        alone = [
            name for name in auxiliary_heads(segmentor) if name not in pairs
        ]
        if alone:
            named = {main: 'decode', **pairs, **dict.fromkeys(alone, 'decode')}
            print_log(
                f'No auxiliary head of the teacher is the partner of '
                f'{", ".join(alone)} of the student, which learns from labels '
                'alone, and from them by label_weight. '
                f'outputs={named!r} lets it learn from the main output.',
                logger='current',
                level=logging.WARNING,
            )
        return {main: 'decode', **pairs}

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Reads the schedules, and decides whether to check the teachers.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Number of the batch.
            data_batch (dict, optional): The batch. Defaults to None.
        """
        super().before_train_iter(runner, batch_idx, data_batch)
        self._unchecked |= runner.iter % _CHECK_INTERVAL == 0

    def teach(self, segmentor: nn.Module, labelled: StudentPass) -> Lesson:
        """Asks the teachers.

        Args:
            segmentor (nn.Module): The student.
            labelled (StudentPass): The pass of the labelled images.

        Returns:
            Lesson: The answers as targets of the same pass.
        """
        outputs = self.select(labelled.outputs)
        wanted = {self._pairs[name] for name in outputs}
        answers = [
            teacher(labelled.inputs, wanted) for teacher in self._teachers
        ]
        if self._unchecked:
            self._check_finite(answers)
            self._unchecked = False
        targets = {
            name: SoftTarget(
                self._target(self._pairs[name], answers, output),
                output.counted(),
            )
            for name, output in outputs.items()
        }
        return Lesson(labelled, targets, {})

    def _target(
        self, name: str, answers: list[dict], output: StudentOutput
    ) -> TeacherLogits:
        channels, size = output.logits.shape[1], output.size
        targets = []
        for teacher, answer in zip(self._teachers, answers):
            logits, is_sigmoid = answer[name]
            align_corners = teacher.align_corners[name]
            # a mean of several, or odds of sigmoids, are made pixel by pixel
            stays_small = (
                output.is_small
                and len(answers) == 1
                and (not is_sigmoid or output.use_sigmoid)
                and logits.shape[2] <= size[0]
                and logits.shape[3] <= size[1]
            )
            if not stays_small and logits.shape[2:] != size:
                logits = F.interpolate(
                    logits, size, mode='bilinear', align_corners=align_corners
                )
            target = teacher_target(
                logits,
                is_sigmoid,
                channels,
                output.use_sigmoid,
                self._numbers['temperature'],
            )
            if stays_small:
                target = replace(
                    target, size=tuple(size), align_corners=align_corners
                )
            targets.append(target)
        return average_teachers(targets, output.use_sigmoid)

    def _check_finite(self, answers: list[dict]) -> None:
        for (_, checkpoint), answer in zip(self._sources, answers):
            for name, (logits, _) in answer.items():
                if bool(logits.isfinite().all()):
                    continue
                hint = f', or amp={self._amp} is too coarse' * bool(self._amp)
                raise FloatingPointError(
                    f'Expected finite logits from output {name!r} of the '
                    f'teacher {checkpoint!r} but got NaN or infinity: the '
                    f'weights are damaged{hint}.'
                )


def _check_outputs(outputs: object) -> None:
    if outputs is None:
        return
    is_pairs = isinstance(outputs, Mapping) and all(
        isinstance(name, str) for pair in outputs.items() for name in pair
    )
    if not (is_pairs and outputs):
        raise ValueError(
            'Expected outputs to say which output of the student learns from '
            "which of the teacher, such as dict(decode='decode', "
            f"aux='decode'), but got {outputs!r}. Leave it out for outputs "
            'at the same places.'
        )


def _pair_up(teacher: object, checkpoint: object) -> list[tuple]:
    """One config and one checkpoint for each teacher."""
    configs = _listed(
        'teacher',
        'the path of a config, such as mmseg::pspnet/..., or a config',
        teacher,
        (str, Path, dict, Config),
    )
    checkpoints = _listed(
        'checkpoint',
        'the path or URL of the weights of a teacher',
        checkpoint,
        (str, Path),
    )
    if len(configs) == 1:
        configs *= len(checkpoints)
    if not checkpoints or len(configs) != len(checkpoints):
        raise ValueError(
            'Expected checkpoint to name one file for each teacher but got '
            f'{len(configs)} configs and {len(checkpoints)} checkpoints.'
        )
    return list(zip(configs, checkpoints))


def _listed(name: str, what: str, value: object, kinds: tuple) -> list:
    found = [value] if isinstance(value, kinds) else value
    if not isinstance(found, Sequence) or not all(
        isinstance(one, kinds) for one in found
    ):
        raise TypeError(
            f'Expected {name} to be {what}, or a list of them, but got '
            f'{value!r}.'
        )
    return list(found)
