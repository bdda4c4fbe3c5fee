"""Views of unlabelled images, with pseudo labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from ..functional import as_target, paste, pseudo_label, teacher_target
from ..functional.pseudo_labels import (
    certain_logits,
    mean_iou,
    pixel_accuracy,
)
from .soft_losses import SoftTarget
from .student_outputs import StudentOutput
from .teacher import Teacher
from .threshold import Threshold
from .unlabeled_images import valid_pixels

__all__ = ['Views', 'figures', 'label_views', 'labelled_views']


class Views(NamedTuple):
    """Images, and what a teacher says of their pixels.

    Attributes:
        images (Tensor): (N, C, H, W), preprocessed.
        valid (Tensor): (N, H, W) bool, False on padding.
        confident (Tensor): (N, H, W) bool, the valid pixels that count.
        label (Tensor): (N, H, W) int64, the most probable class.
        logits (Tensor, optional): (N, C, H, W), if labels are soft.
        is_sigmoid (bool): Whether the teacher's classes have sigmoids.
    """

    images: Tensor
    valid: Tensor
    confident: Tensor
    label: Tensor
    logits: Tensor | None
    is_sigmoid: bool = False

    def mixed(self, boxes: Tensor, source: Views | None = None) -> Views:
        """Paste boxes of other views, or of one image to another.

        Args:
            boxes (Tensor): (N, H, W) bool.
            source (Views, optional): See
                :func:`~mmseg_jml.functional.paste`. Defaults to None.
        """
        values = {
            name: paste(value, boxes, source and getattr(source, name))
            for name, value in self._asdict().items()
            if isinstance(value, Tensor)
        }
        return self._replace(**values)

    @staticmethod
    def joined(views: Sequence[Views]) -> Views:
        """Make one batch of several."""
        values = {
            name: torch.cat([getattr(view, name) for view in views])
            for name, value in views[0]._asdict().items()
            if isinstance(value, Tensor)
        }
        return views[0]._replace(**values)

    def share(self) -> Tensor:
        """Return the share of the confident pixels among the valid ones."""
        return self.confident.sum() / self.valid.sum().clamp_min(1)

    def target(self, output: StudentOutput) -> SoftTarget:
        """Return the target of an output of the student, of the same size."""
        weight, sigmoid = self.confident.float(), output.use_sigmoid
        if self.logits is None:
            target, weight = as_target(
                output.logits, self.label, weight, None, sigmoid
            )
        else:
            target = teacher_target(
                self.logits, self.is_sigmoid, output.logits.shape[1], sigmoid
            )
        return SoftTarget(target, weight, self.share())

    def data_samples(
        self, samples: Sequence[SegDataSample], ignore_index: int
    ) -> list[SegDataSample]:
        """Return the hard pseudo labels as labels for a head's own losses.

        The student computes these losses on the way to its logits, and they
        are dropped. Pixels of little confidence keep their labels, since
        mmseg's binary cross-entropy fails where all are ignored.

        Args:
            samples (Sequence[SegDataSample]): Those of the images.
            ignore_index (int): Label of pixels that are not valid.
        """
        label = self.label.masked_fill(~self.valid, ignore_index)
        made = []
        for sample, one in zip(samples, label):
            made.append(SegDataSample(metainfo=dict(sample.metainfo)))
            made[-1].gt_sem_seg = PixelData(data=one[None])
            # PIDNet's boundary head asks for one
            made[-1].gt_edge_map = PixelData(data=torch.zeros_like(one[None]))
        return made


@torch.no_grad()
def label_views(
    teacher: Teacher,
    inputs: Tensor,
    data_samples: Sequence[SegDataSample],
    threshold: Threshold,
    soft: bool,
) -> Views:
    """Ask a teacher for the labels of images.

    Args:
        teacher (Teacher): The teacher.
        inputs (Tensor): (N, C, H, W), preprocessed.
        data_samples (Sequence[SegDataSample]): With ``img_shape``.
        threshold (Threshold): Least confidence of a pixel that counts. One
            that moves looks at these images first.
        soft (bool): Whether to keep the logits.

    Returns:
        Views: The images and their pseudo labels.
    """
    logits, is_sigmoid = teacher(inputs, ['decode'])['decode']
    label, confidence = pseudo_label(logits, is_sigmoid)
    valid = valid_pixels(inputs, data_samples)
    classes = max(logits.shape[1], 2)  # one channel tells two apart
    least = threshold.update(confidence, label, valid, classes)
    return Views(
        inputs,
        valid,
        valid & (confidence >= least),
        label,
        logits if soft else None,
        is_sigmoid,
    )


def labelled_views(
    views: Views,
    inputs: Tensor,
    data_samples: Sequence[SegDataSample],
    num_classes: int,
    ignore_index: int,
) -> Views:
    """Treat images with labels as if a teacher were sure of these.

    Args:
        views (Views): As many images of the same size, with pseudo labels of
            the kind that is wanted.
        inputs (Tensor): (M, C, H, W), preprocessed. With fewer images than
            in the views they repeat.
        data_samples (Sequence[SegDataSample]): M, with ``gt_sem_seg``.
        num_classes (int): Number of classes.
        ignore_index (int): Label of pixels that do not count.

    Returns:
        Views: The labelled images; pixels that do not count are not valid.

    Raises:
        ValueError: If the images have another size.
    """
    if inputs.shape[1:] != views.images.shape[1:]:
        raise ValueError(
            'Expected labelled and unlabelled images of one size for '
            f"cutmix_from='labelled' but got {tuple(inputs.shape[2:])} and "
            f'{tuple(views.images.shape[2:])}: crop both alike, or set '
            "cutmix_from='batch'."
        )
    chosen = [i % len(inputs) for i in range(len(views.images))]
    label = _labels([data_samples[i] for i in chosen])
    counted = (label >= 0) & (label < num_classes) & (label != ignore_index)
    label = label.masked_fill(~counted, 0)
    logits = views.logits
    if logits is not None:
        logits = certain_logits(label, logits.shape[1], views.is_sigmoid)
    return Views(
        inputs[chosen], counted, counted, label, logits, views.is_sigmoid
    )


def figures(
    views: Views,
    data_samples: Sequence[SegDataSample],
    num_classes: int,
    ignore_index: int,
) -> dict[str, Tensor]:
    """Tell how sure and, where labels are known, how right a teacher is.

    Args:
        views (Views): The images and their pseudo labels.
        data_samples (Sequence[SegDataSample]): Theirs, with ``has_label``.
        num_classes (int): Number of classes.
        ignore_index (int): Label of pixels that do not count.

    Returns:
        dict[str, Tensor]: ``pseudo_confident``, the share of the confident
        pixels, and, of those images that have labels, the mIoU of all valid
        pixels ``pseudo_mIoU`` and the accuracy of the confident ones
        ``pseudo_accuracy`` in percent. The accuracy is NaN where no pixel is
        confident.
    """
    found = dict(pseudo_confident=views.share())
    known = [i for i, sample in enumerate(data_samples) if sample.has_label]
    if known:
        truth = _labels([data_samples[i] for i in known])
        label, valid, confident = (
            torch.stack([values[i] for i in known])
            for values in (views.label, views.valid, views.confident)
        )
        known = (truth >= 0) & (truth < num_classes) & (truth != ignore_index)
        iou = mean_iou(label, truth, valid & known, num_classes)
        accuracy = pixel_accuracy(label, truth, confident & known)
        found.update(pseudo_mIoU=100 * iou, pseudo_accuracy=100 * accuracy)
    return found


def _labels(data_samples: Sequence[SegDataSample]) -> Tensor:
    return torch.stack([s.gt_sem_seg.data[0] for s in data_samples]).long()
