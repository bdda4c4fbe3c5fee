"""Semi-supervised training of a stock segmentor."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor

from ..heads import main_head, named_heads, unwrapped
from ..registry import HOOKS
from ..supervision.batch_statistics import share_statistics, statistics_kept
from ..supervision.lesson import Lesson, StudentPass
from ..supervision.mean_teacher import MeanTeacher
from ..supervision.options import check_counts, check_shares, refuse
from ..supervision.pseudo_labels import figures, label_views, labelled_views
from ..supervision.schedule import Number
from ..supervision.soft_losses import LossEntry
from ..supervision.soft_supervision import SoftSupervision
from ..supervision.strong_views import (
    PhotometricDistortion,
    channels_dropped,
    check_distortions,
    strong_views,
)
from ..supervision.teacher import Teacher
from ..supervision.teacher_checkpoint import frozen_teacher
from ..supervision.threshold import Threshold, ThresholdOption
from ..supervision.unlabeled_images import UnlabeledImages, check_loader

__all__ = ['PseudoLabelHook']


@HOOKS.register_module()
class PseudoLabelHook(SoftSupervision, MeanTeacher):
    """Let any stock segmentor learn from images without labels too.

    In each iteration a teacher labels a weakly augmented batch. The student
    learns these pseudo labels on strongly augmented views of the same pixels,
    where the teacher is confident. The losses are means over the confident
    pixels, multiplied by the share of these among all valid pixels, so that
    they fade in as confidence grows.

    The teacher is no part of the model: ``state_dict`` in a checkpoint is
    that of the student; the moving average stands beside it, under
    ``pseudo_label_teacher``. The log has the losses, such as
    ``decode.loss_pseudo_jml_ce``, and these figures:

    - ``pseudo_confident``, the share of confident pixels;
    - ``pseudo_threshold``, if the threshold is adaptive;
    - for images that happen to have labels, in percent, ``pseudo_mIoU`` of
      the pseudo labels of all valid pixels, and ``pseudo_accuracy`` of those
      of confident pixels.

    The options ``loss``, ``auxiliary_loss`` and ``label_weight`` are those of
    :class:`~mmseg_jml.hooks.DistillationHook`.

    Args:
        unlabeled_dataloader (dict): A dataloader of images. Batch size,
            workers and pipeline are those of the labelled images if left out:
            ``dict(dataset=dict(type=..., data_root=..., data_prefix=...))``
            is enough.
        teacher (str | dict): 'ema', the moving average of the student;
            'self', the student itself in evaluation mode; or
            ``dict(config=..., checkpoint=...)``, a frozen segmentor, given as
            for :class:`DistillationHook`. Defaults to 'ema'.
        momentum (float): Share of itself that the average keeps in a step of
            the optimizer, in [0.5, 1); less in the first steps. mmengine's
            momentum is 1 minus this. Defaults to 0.996.
        warm_up (int): First iterations, in which the student learns from
            labels alone and the average is a copy of it. Defaults to 0.
        threshold (float | dict): Least confidence of pixels to learn from, in
            [0, 1], or ``dict(type='adaptive', start=0.85, momentum=0.999)``;
            see :class:`mmseg_jml.supervision.threshold.Threshold`.
            Defaults to 0.95.
        soft (bool): Whether to learn the teacher's probabilities instead of
            its most probable class. Defaults to True.
        views (int): Number of strong views of each image. Defaults to 1.
        distortions (str | Sequence[dict], optional): Distortions of strong
            views, as entries of ``kornia.augmentation``. 'unimatch' stands
            for the colour jitter, grey and blur of UniMatch, "Revisiting
            Weak-to-Strong Consistency in Semi-Supervised Semantic
            Segmentation" (arXiv 2208.09910), None and an empty list for none.
            Defaults to 'unimatch'.
        cutmix (float): Probability that a view has a box of another image.
            Defaults to 0.5.
        cutmix_from (str): Where boxes come from: 'batch', the unlabelled
            images, or 'labelled', the labelled ones, with their labels as
            pseudo labels of full confidence. Defaults to 'batch'.
        feature_dropout (float): Share of the images, in [0, 1], whose second
            view has just those channels of the backbone that its first view
            lacks: 0.5 in UniMatch V2 (arXiv 2410.10777). 0 drops none.
            Needs ``views=2``. Defaults to 0.0.
        outputs (Sequence[str], optional): The outputs that learn, by the
            names of :class:`StudentOutputs`. None means the main output and
            all auxiliary heads. Defaults to None.
        loss_weight (float | dict): Factor of the losses against pseudo
            labels, or a schedule. Defaults to 0.5.
        update_statistics (bool): Whether strong views enter the running
            statistics of batch normalisation. Defaults to True.
        evaluate_teacher (bool): Whether validation and test evaluate the
            average too, as ``teacher/mIoU`` and so on. Defaults to False.
        check_classes (bool): Whether the classes of the unlabelled images and
            of a frozen teacher must have the names of those of the labelled
            images. Defaults to True.

    Raises:
        TypeError: If a weight is neither a number nor a schedule.
        ValueError: If an option is out of range; when training starts, if
            there are no images, their classes are others, or the student has
            no head with the logits of all pixels.
        RuntimeError: In training, if an image cannot be loaded.

    Examples:
        >>> images = dict(type='BaseSegDataset', data_root='data/more')
        >>> hook = PseudoLabelHook(
        ...     unlabeled_dataloader=dict(dataset=images),
        ...     views=2,
        ...     feature_dropout=0.5,
        ... )
    """

    source = 'pseudo'
    weight_name = 'loss_weight'

    def __init__(
        self,
        unlabeled_dataloader: dict,
        teacher: str | dict = 'ema',
        momentum: float = 0.996,
        threshold: ThresholdOption = 0.95,
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
        warm_up: int = 0,
        cutmix_from: str = 'batch',
        feature_dropout: float = 0.0,
    ) -> None:
        SoftSupervision.__init__(
            self, loss, auxiliary_loss, outputs, label_weight, loss_weight
        )
        check_loader(unlabeled_dataloader)
        check_shares(cutmix=cutmix, feature_dropout=feature_dropout)
        check_counts(1, views=views)
        check_counts(0, warm_up=warm_up)
        check_distortions(distortions)
        if cutmix_from not in ('batch', 'labelled'):
            refuse('cutmix_from', "'batch' or 'labelled'", cutmix_from)
        if feature_dropout and views != 2:
            raise ValueError(
                'Expected views=2 for feature_dropout, which lets two views '
                f'of an image keep different channels, but got {views!r}.'
            )
        MeanTeacher.__init__(
            self, teacher, momentum, evaluate_teacher, warm_up
        )
        self._loader_config = unlabeled_dataloader
        self._teacher_option = teacher
        self._threshold, self._soft = Threshold.parse(threshold), soft
        self._views, self._distortions = views, distortions
        self._cutmix, self._cutmix_from = cutmix, cutmix_from
        self._feature_dropout = feature_dropout
        self._warm_up, self._check_classes = warm_up, check_classes
        self._update_statistics = update_statistics

    def prepare(self, runner: Runner, segmentor: BaseModel) -> list[str]:
        """Open the unlabelled images, and start or restore the teacher."""
        main = main_head(segmentor)
        self._ignore_index = named_heads(segmentor)[main].ignore_index
        # one channel tells two classes apart
        self._num_classes = max(segmentor.num_classes, 2)
        preprocessor = segmentor.data_preprocessor
        self._distort = PhotometricDistortion(self._distortions, preprocessor)
        self._images = UnlabeledImages(
            runner, self._loader_config, preprocessor, self._check_classes
        )
        self._warn_of_single_images()
        saved = self._saved if runner.iter else {}
        self._threshold.start(
            saved.get(f'pseudo_label_threshold{self._suffix}')
        )
        model = self.start_average(runner, segmentor) or segmentor
        if isinstance(self._teacher_option, Mapping):
            model = frozen_teacher(
                runner,
                segmentor,
                **self._teacher_option,
                strict=True,
                compare_names=self._check_classes,
            )
        self._teacher = Teacher(model, preprocessor, inherit_amp=True)
        return super().prepare(runner, segmentor)

    def _warn_of_single_images(self) -> None:
        alone = self._images.batch_size == 1 and self._cutmix_from == 'batch'
        if self._cutmix and alone:
            logging.getLogger('mmseg_jml').warning(
                f'cutmix={self._cutmix} does nothing in a batch of one image: '
                'it pastes from another one. Raise batch_size of '
                "unlabeled_dataloader, or set cutmix_from='labelled' or "
                'cutmix=0.'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the average and an adaptive threshold."""
        super().before_save_checkpoint(runner, checkpoint)
        threshold = self._threshold.value
        if isinstance(threshold, Tensor):  # it is adaptive
            key = f'pseudo_label_threshold{self.suffix(runner)}'
            checkpoint[key] = threshold.cpu()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Read the schedules; load images if pseudo labels have a weight."""
        super().before_train_iter(runner, batch_idx, data_batch)
        if runner.iter < self._warm_up:
            self._numbers[self.weight_name] = 0.0
        if self._numbers[self.weight_name]:
            with self._explained():
                self._images.load(runner.iter)

    def teach(self, segmentor: BaseModel, labelled: StudentPass) -> Lesson:
        """Label the weak view, and show the student the strong ones.

        The pseudo labels are the targets of the strong views. What is logged
        are the :func:`~mmseg_jml.supervision.pseudo_labels.figures`.
        """
        inputs, data_samples = self._images.batch
        known = self._num_classes, self._ignore_index
        weak = label_views(
            self._teacher, inputs, data_samples, self._threshold, self._soft
        )
        source = None
        if self._cutmix_from == 'labelled':
            source = labelled_views(weak, *labelled[:2], *known)
        strong = strong_views(
            weak, self._distort, self._views, self._cutmix, source
        )
        samples = strong.data_samples(
            data_samples * self._views, self._ignore_index
        )
        statistics: AbstractContextManager = nullcontext()
        if not self._update_statistics:
            statistics = statistics_kept(segmentor)
        dropout = channels_dropped(segmentor.backbone, self._feature_dropout)
        with self._student.recording(), dropout, statistics:
            segmentor.loss(strong.images, samples)
        learns = StudentPass(strong.images, samples, self._student.take())
        targets = {
            name: strong.target(output)
            for name, output in self.select(learns.outputs).items()
        }
        found = figures(weak, data_samples, *known)
        threshold = self._threshold.value
        if isinstance(threshold, Tensor):  # it is adaptive
            found['pseudo_threshold'] = threshold
        return Lesson(learns, targets, found)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Make the statistics of all processes equal; update the average."""
        share_statistics(unwrapped(runner.model))
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_train(self, runner: Runner) -> None:
        """Detach the hooks of torch and end the workers."""
        super().after_train(runner)
        self.__dict__.pop('_images', None)  # a failed run may have none
