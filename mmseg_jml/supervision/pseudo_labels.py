"""Views of unlabelled images, with pseudo labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from ..functional import (
    as_target,
    certain_logits,
    confident_share,
    mean_iou,
    paste,
    pixel_accuracy,
    pseudo_label,
    region_counts,
    teacher_target,
)
from .lesson import SoftTarget, StudentOutput
from .teacher import Teacher
from .threshold import Threshold
from .unlabeled_images import valid_pixels

__all__ = ['Views', 'figures', 'label_views', 'labelled_views']


class Views(NamedTuple):
    """Images and the pseudo labels of their pixels.

    Attributes:
        images (Tensor): (N, C, H, W), preprocessed.
        valid (Tensor): (N, H, W) bool, False on padding and filler.
        confident (Tensor): (N, H, W) bool, the valid pixels to learn from.
        label (Tensor): (N, H, W) int64, the most probable class.
        logits (Tensor, optional): (N, C, H, W), the teacher's; None if pseudo
            labels are hard.
        is_sigmoid (bool): Whether each of the teacher's classes has a sigmoid
            of its own.
    """

    images: Tensor
    valid: Tensor
    confident: Tensor
    label: Tensor
    logits: Tensor | None
    is_sigmoid: bool = False

    def mixed(self, boxes: Tensor, source: Views | None) -> Views:
        """Paste boxes of other images, pseudo labels included.

        ``boxes``, (N, H, W) bool, are True on pixels to replace. Without N
        images as a source they come from the image before, as for
        :func:`~mmseg_jml.functional.paste`.
        """
        values: dict[str, Any] = {
            name: paste(value, boxes, source and getattr(source, name))
            for name, value in self._asdict().items()
            if isinstance(value, Tensor)
        }
        return self._replace(**values)

    @staticmethod
    def joined(views: Sequence[Views]) -> Views:
        """Concatenate batches."""
        values: dict[str, Any] = {
            name: torch.cat([getattr(view, name) for view in views])
            for name, value in views[0]._asdict().items()
            if isinstance(value, Tensor)
        }
        return views[0]._replace(**values)

    def share(self) -> Tensor:
        """Return the share of the confident pixels among the valid ones."""
        return confident_share(self.confident, self.valid)

    def target(self, output: StudentOutput) -> SoftTarget:
        """Return the target of an output with logits of the images' size."""
        weight, sigmoid = self.confident.float(), output.use_sigmoid
        if self.logits is None:
            target, _ = as_target(
                output.logits, self.label, None, None, sigmoid
            )
        else:
            target = teacher_target(
                self.logits, self.is_sigmoid, output.logits.shape[1], sigmoid
            )
        return SoftTarget(target, weight, self.share())

    def data_samples(
        self, samples: Sequence[SegDataSample], ignore_index: int
    ) -> list[SegDataSample]:
        """Copy the samples of the images, with hard pseudo labels as labels.

        The student needs them to compute the losses of its own config on the
        way to its logits; these losses are dropped. Pixels that are not valid
        are ignored. Those below the threshold keep their labels, since
        mmseg's binary cross-entropy fails where all pixels are ignored.
        """
        label = self.label.masked_fill(~self.valid, ignore_index)
        made = []
        for sample, one in zip(samples, label):
            made.append(SegDataSample(metainfo=dict(sample.metainfo)))
            made[-1].gt_sem_seg = PixelData(data=one[None])
            # PIDNet's boundary head asks for an edge map
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
    """Let a teacher label preprocessed images (N, C, H, W).

    An adaptive threshold is updated by these images before it tells which
    pixels are confident. Soft pseudo labels keep the logits.
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
    """Treat labels of images as pseudo labels of full confidence.

    The images (M, C, H, W) are preprocessed, and repeated until there are as
    many as unlabelled ``views``. The labels are soft if those of the views
    are. Pixels whose label does not count are not valid. It is a ValueError if
    labelled and unlabelled images differ in size.
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
    counted = _counted(label, num_classes, ignore_index)
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
    """Measure the confidence and, where labels are known, the accuracy.

    Returns:
        dict[str, Tensor]: ``pseudo_confident``, the share of the confident
        pixels among the valid ones. If some images have labels, also
        ``pseudo_mIoU``, their mIoU over all valid pixels, and
        ``pseudo_accuracy``, that of their confident pixels, in percent. The
        accuracy is NaN where no pixel is confident.
    """
    found = dict(pseudo_confident=views.share())
    known = [i for i, sample in enumerate(data_samples) if sample.has_label]
    if known:
        truth = _labels([data_samples[i] for i in known])
        counted = _counted(truth, num_classes, ignore_index)
        label, valid, confident = (
            torch.stack([values[i] for i in known])
            for values in (views.label, views.valid, views.confident)
        )
        accuracy = pixel_accuracy(label, truth, confident & counted)
        found['pseudo_accuracy'] = 100 * accuracy
        truth = truth.masked_fill(~(valid & counted), -1)
        counts = region_counts(label, truth, num_classes, check=False)
        found['pseudo_mIoU'] = 100 * mean_iou(counts)
    return found


def _labels(data_samples: Sequence[SegDataSample]) -> Tensor:
    return torch.stack([s.gt_sem_seg.data[0] for s in data_samples]).long()


def _counted(label: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    return (label >= 0) & (label < num_classes) & (label != ignore_index)
