"""Pictures of the soft labels that a segmentor learns from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner

from ..functional import as_target, both_classes
from ..heads import dense_heads, unwrapped
from ..kernels import HardLabel, Request, upsampled
from ..losses import JaccardMetricLoss
from ..registry import HOOKS
from ..supervision.lesson import Lesson, SoftTarget, StudentPass
from ..supervision.options import check_counts
from ..supervision.recorders import StudentOutputs
from ..supervision.soft_supervision import SoftSupervision
from ..visualization import (
    SoftLabelPicture,
    draw_soft_labels,
    log_image,
    restore_image,
)

__all__ = ['SoftLabelVisualizationHook']


@HOOKS.register_module()
class SoftLabelVisualizationHook(Hook):
    """Draw soft labels beside their images, every ``interval`` iterations.

    It finds all soft labels by itself: labels that a loss of this package
    smooths (``label_smoothing``), and the targets of the other hooks of this
    package, such as the teacher's probabilities in :class:`DistillationHook`.
    A picture shows the image, its label, the most probable class of the soft
    label and the probability of that class; ignored pixels are white. It goes
    to the backends of the visualizer, and as PNG to ``vis_data/vis_image``
    beside the log.

    Args:
        interval (int): Iterations between two pictures. Defaults to 500.
        images (int): Number of images of the batch to draw. Defaults to 2.

    Raises:
        ValueError: If one of them is no whole number of 1 or more; when
            training starts, if there is no soft label to draw.

    Examples:
        >>> custom_hooks = [
        ...     dict(type='mmseg_jml.SoftLabelVisualizationHook', images=1)
        ... ]
    """

    def __init__(self, interval: int = 500, images: int = 2) -> None:
        check_counts(1, interval=interval, images=images)
        self.interval = interval
        self.images = images
        self._undo: list[Callable[[], None]] = []
        self._forget()

    def _forget(self) -> None:
        self._due = False
        self._found: dict[str, list[SoftLabelPicture]] = {}

    def before_train(self, runner: Runner) -> None:
        """Find the losses and hooks with soft labels, and listen to them.

        Raises:
            ValueError: If there are none.
        """
        self.after_train(runner)
        segmentor = unwrapped(runner.model)
        self._preprocessor = segmentor.data_preprocessor
        self._smoothing = {
            name: loss
            for name, head in dense_heads(segmentor).items()
            for loss in head.modules()
            if isinstance(loss, JaccardMetricLoss) and loss.label_smoothing
        }
        if self._smoothing:
            student = StudentOutputs(segmentor, full_size=())
            handle = segmentor.register_forward_hook(
                partial(self._smooth, student), with_kwargs=True
            )
            self._undo += [student.remove, handle.remove]
        for hook in runner.hooks:
            if isinstance(hook, SoftSupervision):
                source = hook.source + hook.suffix(runner)
                listen = partial(self._keep, source)
                hook.listeners.append(listen)
                self._undo.append(partial(hook.listeners.remove, listen))
        if not self._undo:
            raise ValueError(
                'Expected soft labels to draw, from label_smoothing in a loss '
                'of mmseg_jml or from another hook of it, but got none.'
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Decide whether a picture is due."""
        due = runner.iter % self.interval == 0
        self._due = due and is_main_process()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Draw the soft labels of this iteration."""
        dataset = getattr(runner.train_dataloader, 'dataset', None)
        palette = getattr(dataset, 'metainfo', {}).get('palette') or None
        for name, pictures in self._found.items():
            log_image(
                f'soft_label_{name}', draw_soft_labels(pictures, palette)
            )
        self._forget()

    def after_train(self, runner: Runner) -> None:
        """Stop listening to losses and hooks."""
        for undo in self._undo:
            undo()
        self._undo = []
        self._forget()

    def _smooth(
        self,
        student: StudentOutputs,
        segmentor: BaseModel,
        args: tuple,
        kwargs: dict,
        losses: dict,
    ) -> None:
        """Smooth labels as the losses have done, and keep the result."""
        outputs, targets = student.take(), {}
        if not self._due:
            return
        for name, loss in self._smoothing.items():
            if name in outputs:
                logits, label, ignore_index, use_sigmoid, _ = outputs[name]
                label, ignored = loss.one_ignored(label, ignore_index)
                target, weight = as_target(
                    logits,
                    label,
                    ignore_index=ignored,
                    use_sigmoid=use_sigmoid,
                    label_smoothing=loss.label_smoothing,
                )
                if weight is None:
                    weight = cast(HardLabel, target).counted()
                targets[name] = SoftTarget(target, weight)
        inputs = (*args, *kwargs.values())[0]
        student_pass = StudentPass(inputs, [], outputs)
        self._keep('smoothed', Lesson(student_pass, targets, {}))

    def _keep(self, source: str, lesson: Lesson) -> None:
        """Make pictures of the targets of a lesson, if they are due."""
        if not self._due:
            return
        first = slice(None, self.images)
        for name, soft in lesson.targets.items():
            logits, label, *_ = lesson.student.outputs[name]
            request = upsampled(Request(logits.detach(), soft.target))
            dense = request.target.dense(logits.shape[1], request.dtype)[first]
            if dense.shape[1] == 1:
                dense = both_classes(dense, dim=1)
            self._found[f'{name}_{source}'] = [
                SoftLabelPicture(
                    restore_image(image, self._preprocessor), *one
                )
                for image, *one in zip(
                    lesson.student.inputs[first],
                    label[first],
                    dense,
                    soft.weight[first],
                )
            ]
