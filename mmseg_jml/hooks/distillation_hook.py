"""Knowledge distillation into a stock segmentor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner

from ..functional import mean_iou
from ..registry import HOOKS
from ..supervision.ensemble import Ensemble
from ..supervision.features import FeatureDistances, FeaturePair
from ..supervision.lesson import Lesson, SoftTarget, StudentPass
from ..supervision.options import check_weights, pair_teachers, refuse
from ..supervision.schedule import Number, Schedule
from ..supervision.soft_losses import LossEntry
from ..supervision.soft_supervision import SoftSupervision
from ..supervision.teacher import Teacher
from ..supervision.teacher_checkpoint import frozen_teacher
from ..supervision.teacher_quality import (
    TeacherQuality,
    target_counts,
    validate_teacher,
)

__all__ = ['DistillationHook']

# Iterations between checks of values, which make the host wait for a GPU.
_CHECK_INTERVAL = 100
_PRECISIONS = {
    None: None,
    'float16': torch.float16,
    'bfloat16': torch.bfloat16,
}


@HOOKS.register_module()
class DistillationHook(SoftSupervision):
    """Let any stock segmentor learn from any other.

    The defaults are the recipe of "Jaccard Metric Losses: Optimizing the
    Jaccard Index with Soft Labels" (arXiv 2302.05666): label and teacher weigh
    0.5 each, with cross-entropy and Jaccard metric loss 0.25 : 0.75 on the
    main head and cross-entropy alone on the auxiliary head.

    The teacher sees the student's preprocessed images, normalised as its own
    config says. It is in no checkpoint, no optimizer and no gradient bucket,
    and does not run where ``teacher_weight`` is 0. The losses leave out pixels
    that the label ignores; distances of features do not. The log has the mIoU
    of the teachers on each batch, ``teacher_mIoU`` in percent, with a warning
    where it is not above chance (:class:`TeacherQuality`).

    Args:
        teacher (str | dict | Config | Sequence): A config or its path, also
            in an installed package: ``mmseg::pspnet/...``. The probabilities
            of several teachers are averaged.
        checkpoint (str | Sequence[str]): Path or URL of each teacher's
            weights. One config serves several checkpoints.
        loss (dict | Sequence[dict], optional): Losses of the main head
            against soft labels, each a target of :mod:`mmseg_jml.kernels`.
            None means ``dict(type='mmseg_jml.JaccardMetricCELoss')``, an empty
            list none. Defaults to None.
        auxiliary_loss (dict | Sequence[dict], optional): Losses of auxiliary
            heads. None means its cross-entropy alone, ``ce_weight=1.0,
            jml_weight=0.0, loss_weight=0.4``. Defaults to None.
        outputs (dict[str, str], optional): Which output of the student learns
            from which of the teacher, by the names of
            :class:`StudentOutputs`. None pairs the main outputs, and
            auxiliary heads at the same place. Defaults to None.
        label_weight (float | dict): Factor of the losses of the student's own
            config, or a :class:`Schedule` such as ``dict(type='linear',
            start=1.0, stop=0.5, end=20000)``. Defaults to 0.5.
        teacher_weight (float | dict): The same for the losses against the
            teacher. Defaults to 0.5.
        temperature (float | dict): Divides the logits of student and teacher;
            may be a schedule too. Defaults to 1.0.
        amp (str, optional): 'float16' or 'bfloat16' runs the teacher under
            autocast. None runs it in float32. Defaults to None.
        check_classes (bool): Whether the classes of a teacher must have the
            names of the student's. Their number always has to be the same.
            Defaults to True.
        strict (bool): Whether a checkpoint must have all weights of its
            teacher and no other. If not, the log names those that do not fit.
            Defaults to True.
        features (Sequence[dict], optional): Modules that learn from modules
            of the teacher, each with the arguments of a
            :class:`FeaturePair`. ``loss=[]`` and ``auxiliary_loss=[]`` leave
            them as the only losses against the teacher. Defaults to None.
        teacher_weights (Sequence[float], optional): The weight of each
            teacher in the average, above 0. None weighs them equally.
            Defaults to None.
        validate_teacher (bool): Whether to evaluate each teacher on the
            validation set before training starts. Defaults to False.

    Raises:
        TypeError: If an option has a wrong type.
        ValueError: If an option is out of range; when training starts, if
            classes differ, a checkpoint does not fit or no output has a loss.
        FileNotFoundError: When training starts, if a file is missing.
        FloatingPointError: If a teacher's logits are not finite; checked in
            the first and then in every 100th iteration.

    Examples:
        >>> custom_hooks = [
        ...     dict(
        ...         type='mmseg_jml.DistillationHook',
        ...         teacher='teacher.py',
        ...         checkpoint='teacher.pth',
        ...         loss=dict(type='mmseg_jml.KLDivergenceLoss'),
        ...         temperature=2.0,
        ...     )
        ... ]
    """

    source = 'kd'
    weight_name = 'teacher_weight'
    pairs_outputs = True

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
        features: Sequence[dict] | None = None,
        teacher_weights: Sequence[float] | None = None,
        validate_teacher: bool = False,
    ) -> None:
        super().__init__(
            loss, auxiliary_loss, outputs, label_weight, teacher_weight
        )
        self._schedules['temperature'] = Schedule.parse(
            'temperature', temperature, low=0.01
        )
        self._sources = pair_teachers(teacher, checkpoint)
        self._check_classes, self._strict = check_classes, strict
        if amp not in list(_PRECISIONS):  # amp may have no hash
            refuse('amp', "'float16', 'bfloat16' or None", amp)
        self._amp = _PRECISIONS[amp]
        self._feature_pairs = FeaturePair.parse_all(features)
        check_weights('teacher_weights', teacher_weights, len(self._sources))
        self._teacher_weights = teacher_weights
        self._validates = validate_teacher

    def prepare(self, runner: Runner, segmentor: BaseModel) -> list[str]:
        """Build the teachers; return the student outputs that learn."""
        names = [str(checkpoint) for _, checkpoint in self._sources]
        teachers = []
        for number, (config, checkpoint) in enumerate(self._sources):
            model = frozen_teacher(
                runner,
                segmentor,
                config,
                checkpoint,
                strict=self._strict,
                compare_names=self._check_classes,
            )
            if self._validates and runner.iter == 0:
                name = f'{self.name}_teacher' + f'_{number + 1}' * bool(number)
                validate_teacher(runner, model, name, names[number])
            preprocessor = segmentor.data_preprocessor
            teachers.append(
                Teacher(model, preprocessor, self._amp, keeps_size=True)
            )
        self._ensemble = Ensemble(teachers, names, self._teacher_weights)
        self._features = None
        if self._feature_pairs:
            self._features = FeatureDistances(
                self._feature_pairs, segmentor, self._ensemble, self.name
            )
            self._handles.append(self._features)
        who = ' and '.join(names)
        self._quality = TeacherQuality(who, 'the last batches')
        self._looks = True
        self._pairs = {}
        compares_logits = any(x is None or x for x in self._entries)
        if compares_logits or not self._features:
            chosen = cast('dict[str, str] | None', self._outputs)
            self._pairs = self._ensemble.pairs(segmentor, chosen)
        return list(self._pairs)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Read the schedules, and decide whether to check values."""
        super().before_train_iter(runner, batch_idx, data_batch)
        self._looks |= runner.iter % _CHECK_INTERVAL == 0

    def teach(self, segmentor: BaseModel, labelled: StudentPass) -> Lesson:
        """Make the targets, the distances of features and the mIoU."""
        outputs = self.select(labelled.outputs)
        wanted = {self._pairs[name] for name in outputs} or {'decode'}
        answers = self._ensemble(labelled.inputs, wanted)
        temperature = self._numbers['temperature']
        logits = {
            name: self._ensemble.target(
                self._pairs[name], answers, output, temperature
            )
            for name, output in outputs.items()
        }
        targets = {
            name: SoftTarget(target, outputs[name].counted())
            for name, target in logits.items()
        }
        if self._looks:
            self._ensemble.check_finite(answers)
            self._quality.judge()
            self._looks = False
        figures = {}
        main = next(iter(outputs), None)
        if main is not None:
            counts = target_counts(logits[main], outputs[main])
            self._quality.add(counts)
            figures['teacher_mIoU'] = 100 * mean_iou(counts)
        if self._features:
            factor = self._numbers[self.weight_name]
            figures.update(self._features.terms(factor))
        return Lesson(labelled, targets, figures)
