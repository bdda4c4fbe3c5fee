"""Views of unlabelled images, with pseudo labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from ..functional import (
    as_target,
    paste,
    pseudo_label,
    teacher_target,
)
from ..functional.pseudo_labels import mean_iou
from .soft_losses import SoftTarget
from .student_outputs import StudentOutput
from .teacher import Teacher
from .unlabeled_images import valid_pixels

__all__ = ['Views', 'figures', 'label_views']


class Views(NamedTuple):
    """Images, and what a teacher says of their pixels.

    Attributes:
        images (Tensor): (N, C, H, W), preprocessed.
        valid (Tensor): (N, H, W) bool, False on padding.
        confident (Tensor): (N, H, W) bool, the valid pixels that count.
        label (Tensor): (N, H, W) int64, the most probable class.
        logits (Tensor, optional): (N, C, H, W), if labels are soft.
    """

    images: Tensor
    valid: Tensor
    confident: Tensor
    label: Tensor
    logits: Tensor | None

    def mixed(self, boxes: Tensor) -> Views:
        """Pastes boxes (N, H, W) from one image of the batch to another."""
        return Views(*(v if v is None else paste(v, boxes) for v in self))

    @staticmethod
    def joined(views: Sequence[Views]) -> Views:
        """One batch of several."""
        return Views(
            *(None if v[0] is None else torch.cat(v) for v in zip(*views))
        )

    def share(self) -> Tensor:
        """Scalar: the confident pixels among the valid ones."""
        return self.confident.sum() / self.valid.sum().clamp_min(1)

    def target(self, output: StudentOutput, is_sigmoid: bool) -> SoftTarget:
        """What an output of the student should be.

        Args:
            output (StudentOutput): Its logits have the size of the images.
            is_sigmoid (bool): Whether the teacher's classes have sigmoids.

        Returns:
            SoftTarget: The confident pixels, and their share.
        """
        weight, sigmoid = self.confident.float(), output.use_sigmoid
        if self.logits is None:
            target, weight = as_target(
                output.logits, self.label, weight, None, sigmoid
            )
        else:
            target = teacher_target(
                self.logits, is_sigmoid, output.logits.shape[1], sigmoid
            )
        return SoftTarget(target, weight, self.share())

    def data_samples(
        self, samples: Sequence[SegDataSample], ignore_index: int
    ) -> list[SegDataSample]:
        """The hard pseudo labels as labels, for a head's own losses.

        They are computed on the way to the logits, and dropped. Pixels of
        little confidence keep their labels: mmseg's binary cross-entropy
        fails where all are ignored.

        Args:
            samples (Sequence[SegDataSample]): Those of the images.
            ignore_index (int): Label of pixels that do not count.

        Returns:
            list[SegDataSample]: With labels, ignored where not valid.
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
    threshold: float,
    soft: bool,
) -> Views:
    """Asks a teacher for the labels of images.

    Args:
        teacher (Teacher): The teacher.
        inputs (Tensor): (N, C, H, W), preprocessed.
        data_samples (Sequence[SegDataSample]): With ``img_shape``.
        threshold (float): Least confidence of a pixel that counts.
        soft (bool): Whether to keep the logits.

    Returns:
        Views: The images and their pseudo labels.
    """
    logits, is_sigmoid = teacher(inputs, ['decode'])['decode']
    label, confidence = pseudo_label(logits, is_sigmoid)
    valid = valid_pixels(inputs, data_samples)
    return Views(
        inputs,
        valid,
        valid & (confidence >= threshold),
        label,
        logits if soft else None,
    )


def figures(
    views: Views,
    data_samples: Sequence[SegDataSample],
    num_classes: int,
    ignore_index: int,
) -> dict[str, Tensor]:
    """Tells how sure and, where labels are known, how right a teacher is.

    Args:
        views (Views): The images and their pseudo labels.
        data_samples (Sequence[SegDataSample]): Theirs, with ``has_label``.
        num_classes (int): Number of classes.
        ignore_index (int): Label of pixels that do not count.

    Returns:
        dict[str, Tensor]: ``pseudo_confident``, a share, and ``pseudo_mIoU``
        in percent, over the classes of those images that have labels.
    """
    found = dict(pseudo_confident=views.share())
    known = [i for i, sample in enumerate(data_samples) if sample.has_label]
    if known:
        truth, label, valid = (
            torch.stack([values[i] for i in known])
            for values in (
                {i: data_samples[i].gt_sem_seg.data[0] for i in known},
                views.label,
                views.valid,
            )
        )
        classes = max(num_classes, 2)  # one channel tells two classes apart
        iou = mean_iou(label, truth, valid & (truth != ignore_index), classes)
        found['pseudo_mIoU'] = 100 * iou
    return found
