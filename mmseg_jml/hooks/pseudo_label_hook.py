"""Semi-supervised training of a stock segmentor."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from ..functional import cutmix_boxes
from ..heads import auxiliary_heads, main_head, named_heads, unwrapped
from ..registry import HOOKS
from ..supervision.batch_statistics import share_statistics, statistics_kept
from ..supervision.mean_teacher import MeanTeacher
from ..supervision.options import check_outputs, check_shares
from ..supervision.pseudo_labels import Views, figures, label_views
from ..supervision.schedule import Number
from ..supervision.soft_losses import LossEntry
from ..supervision.soft_supervision import Lesson, SoftSupervision, StudentPass
from ..supervision.strong_views import PhotometricDistortion, check_distortions
from ..supervision.teacher import Teacher
from ..supervision.unlabeled_images import UnlabeledImages

__all__ = ['PseudoLabelHook']


@HOOKS.register_module()
class PseudoLabelHook(SoftSupervision, MeanTeacher):
    """Lets any stock segmentor learn from images without labels too.

    In each iteration a teacher labels a weakly augmented batch, and the
    student learns these pseudo labels on strongly augmented views of the same
    pixels, where the teacher is confident. The losses are means over the
    confident pixels times their share of all valid ones, so that they fade in
    as confidence grows.

    The teacher is no part of the model: ``state_dict`` in a checkpoint is
    that of the student, and the average stands beside it under
    ``pseudo_label_teacher``. The log has the losses as
    ``decode.loss_pseudo_jml_ce``, the share of confident pixels as
    ``pseudo_confident`` and, where the images happen to have labels, the mIoU
    of the batch's pseudo labels in percent, over all valid pixels, as
    ``pseudo_mIoU``.

    Args:
        unlabeled_dataloader (dict): A dataloader of images. What it leaves
            out is as for the labelled ones: ``dict(dataset=dict(type=...,
            data_root=..., data_prefix=...))`` is enough.
        teacher (str): 'ema', the average of the student over its training, or
            'self', the student itself in evaluation mode. Defaults to 'ema'.
        momentum (float): What the average keeps of itself in a step, in
            [0.5, 1); in the first steps less. mmengine's momentum is 1 minus
            this. Defaults to 0.996.
        threshold (float): Least confidence of a pixel that counts, in [0, 1].
            Defaults to 0.95.
        soft (bool): Whether the teacher's probabilities are the label, in
            place of the most probable class. Defaults to True.
        views (int): Strong views of each image. Defaults to 1.
        distortions (str | Sequence[dict], optional): Of strong views, entries
            from ``kornia.augmentation``. 'unimatch' stands for jitter of
            colours, grey and blur as in UniMatch (arXiv 2208.09910); None and
            an empty list for none. Defaults to 'unimatch'.
        cutmix (float): Probability that a view has a box of another image.
            Defaults to 0.5.
        loss (dict | Sequence[dict], optional): Losses of the main head. None
            means ``dict(type='mmseg_jml.JaccardMetricCELoss')``. Defaults to
            None.
        auxiliary_loss (dict | Sequence[dict], optional): Losses of auxiliary
            heads. None means its cross-entropy alone, ``ce_weight=1.0,
            jml_weight=0.0, loss_weight=0.4``. Defaults to None.
        outputs (Sequence[str], optional): The outputs that learn;
            :class:`StudentOutputs` has the names. None: the main output and
            all auxiliary heads. Defaults to None.
        label_weight (float | dict): Factor of the losses of the student's own
            config, or a schedule. Defaults to 0.5.
        loss_weight (float | dict): The same for the losses against pseudo
            labels. Defaults to 0.5.
        update_statistics (bool): Whether strong views enter the running
            statistics of batch normalisation. Defaults to True.
        evaluate_teacher (bool): Whether validation and test give the figures
            of the average too, as ``teacher/mIoU`` and so on. Defaults to
            False.
        check_classes (bool): Whether the classes of the unlabelled images
            must have the names of those of the labelled ones. Defaults to
            True.

    Raises:
        TypeError: If a weight is neither a number nor a schedule.
        ValueError: If an option has no meaning; when training starts, if
            there are no images, their classes are others, or the student has
            no logits to learn with.
        RuntimeError: In training, if an image cannot be loaded.
    """

    source = 'pseudo'
    weight_name = 'loss_weight'

    def __init__(
        self,
        unlabeled_dataloader: dict,
        teacher: str = 'ema',
        momentum: float = 0.996,
        threshold: float = 0.95,
        soft: bool = True,
        views: int = 1,
        distortions: str | Sequence[dict] | None = 'unimatch',
        cutmix: float = 0.5,
        loss: LossEntry | None = None,
        auxiliary_loss: LossEntry | None = None,
        outputs: Sequence[str] | None = None,
        label_weight: Number = 0.5,
        loss_weight: Number = 0.5,
        update_statistics: bool = True,
        evaluate_teacher: bool = False,
        check_classes: bool = True,
    ) -> None:
        SoftSupervision.__init__(
            self, loss, auxiliary_loss, label_weight, loss_weight
        )
        _check_options(unlabeled_dataloader, teacher, views)
        check_outputs(outputs)
        check_shares(threshold=threshold, cutmix=cutmix)
        if evaluate_teacher and teacher == 'self':
            raise ValueError(
                "Expected teacher='ema' for evaluate_teacher=True but got "
                "'self', which is the student."
            )
        MeanTeacher.__init__(
            self, momentum if teacher == 'ema' else None, evaluate_teacher
        )
        self._loader_config = unlabeled_dataloader
        self._threshold, self._soft = threshold, soft
        self._views, self._cutmix = views, cutmix
        check_distortions(distortions)
        self._distortions = distortions
        self._outputs = outputs
        self._check_classes = check_classes
        self._update_statistics = update_statistics

    def prepare(self, runner: Runner, segmentor: nn.Module) -> list[str]:
        """Opens the unlabelled images and starts or restores the teacher.

        Args:
            runner (Runner): The runner, before its first iteration.
            segmentor (nn.Module): The student.

        Returns:
            list[str]: The student outputs that learn.
        """
        main = main_head(segmentor)
        self._ignore_index = named_heads(segmentor)[main].ignore_index
        preprocessor = segmentor.data_preprocessor
        self._distort = PhotometricDistortion(self._distortions, preprocessor)
        self._images = UnlabeledImages(
            runner, self._loader_config, preprocessor, self._check_classes
        )
        if self._cutmix and self._images.batch_size == 1:
            print_log(
                f'cutmix={self._cutmix} does nothing in a batch of one image: '
                'it pastes from another one. Raise batch_size of '
                'unlabeled_dataloader, or set cutmix=0.',
                logger='current',
                level=logging.WARNING,
            )
        model = self.start_average(runner, segmentor) or segmentor
        self._teacher = Teacher(model, preprocessor, inherit_amp=True)
        return list(self._outputs or (main, *auxiliary_heads(segmentor)))

    def own_name(self, runner: Runner) -> str:
        """``teacher``, and ``teacher_2`` and so on for other hooks.

        Args:
            runner (Runner): The runner.
        """
        return f'teacher{self.suffix(runner)}'

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Reads the schedules and loads images.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Number of the batch.
            data_batch (dict, optional): The batch. Defaults to None.
        """
        super().before_train_iter(runner, batch_idx, data_batch)
        with self._explained():
            self._batch = next(self._images)

    def teach(self, segmentor: nn.Module, labelled: StudentPass) -> Lesson:
        """Labels the weak view, and shows the student the strong ones.

        Args:
            segmentor (nn.Module): The student.
            labelled (StudentPass): The pass of the labelled images.

        Returns:
            Lesson: The pseudo labels as targets of the strong views, the
            share of confident pixels and, with labels, their mIoU.
        """
        inputs, data_samples = self._batch
        weak = label_views(
            self._teacher, inputs, data_samples, self._threshold, self._soft
        )
        strong = self._strong(weak)
        samples = strong.data_samples(
            data_samples * self._views, self._ignore_index
        )
        with self._student.recording(), self._statistics(segmentor):
            segmentor.loss(strong.images, samples)
        learns = StudentPass(strong.images, samples, self._student.take())
        targets = {
            name: strong.target(output, self._teacher.is_sigmoid)
            for name, output in self.select(learns.outputs).items()
        }
        found = figures(
            weak, data_samples, segmentor.num_classes, self._ignore_index
        )
        return Lesson(learns, targets, found)

    def _strong(self, weak: Views) -> Views:
        number, size = len(weak.images), weak.images.shape[2:]
        views = []
        for _ in range(self._views):
            images = self._distort(weak.images, weak.valid)
            boxes = cutmix_boxes(number, size, self._cutmix)
            views.append(weak._replace(images=images).mixed(boxes))
        return Views.joined(views)

    def _statistics(self, segmentor: nn.Module) -> AbstractContextManager:
        if self._update_statistics:
            return nullcontext()
        return statistics_kept(segmentor)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Gives all processes one teacher, and the average its step.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Number of the batch.
            data_batch (dict, optional): The batch. Defaults to None.
            outputs (dict, optional): The losses. Defaults to None.
        """
        share_statistics(unwrapped(runner.model))
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_train(self, runner: Runner) -> None:
        """Detaches the hooks of torch and ends the workers.

        Args:
            runner (Runner): The runner.
        """
        super().after_train(runner)
        self._images = self._batch = None


def _check_options(loader: dict, teacher: str, views: int) -> None:
    if not isinstance(loader, Mapping) or 'dataset' not in loader:
        raise ValueError(
            'Expected unlabeled_dataloader to be a dictionary with a dataset '
            f'but got {loader!r}.'
        )
    if teacher not in ('ema', 'self'):
        raise ValueError(
            f"Expected teacher to be 'ema' or 'self' but got {teacher!r}."
        )
    is_count = isinstance(views, int) and not isinstance(views, bool)
    if not (is_count and views >= 1):
        raise ValueError(f'Expected views to be 1 or more but got {views!r}.')
