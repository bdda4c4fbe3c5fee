"""IoU at the level of the data set, of images and of classes."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from prettytable import PrettyTable

from ..functional import (
    RegionCounts,
    check_counts,
    check_integers,
    check_percent,
    class_scores,
    dataset_scores,
    fine_grained_iou,
    image_scores,
    region_counts,
)
from ..registry import METRICS
from .predictions import read_label, read_prediction
from .tables import log_tables, percent

__all__ = ['FineGrainedIoUMetric']

SCORES = ('IoU', 'Acc', 'Dice')


@METRICS.register_module()
class FineGrainedIoUMetric(BaseMetric):
    """Measure accuracy, IoU and Dice at data set, image and class level.

    The figures are those of :func:`mmseg_jml.functional.fine_grained_iou`:
    ``mIoUD`` (mmseg's mIoU), ``mIoUI`` and ``mIoUC``, the worst cases such as
    ``mIoUI5`` and ``mIoUIQ``, the same for ``mAcc`` and ``mDice``, and
    ``Acc``, all in percent. The log has a table of them, one of the classes
    with the number of images labelled with each, and one of the worst images
    by name. Absent classes are left out of means.

    Until the evaluation ends, each image takes 24 bytes per class, and its
    name.

    Args:
        worst (float): Percentage of worst images for figures such as
            ``mIoUI5``. Defaults to 5.
        binary (bool): Whether the second of two classes is the foreground,
            whose score alone counts at data set and image level. Defaults to
            False.
        worst_images (int): How many images to name. Defaults to 5.
        ignore_index (int): Label of pixels that do not count. Defaults to
            255.
        collect_device (str): 'cpu' or 'gpu', by which results are gathered
            from other processes. Defaults to 'cpu'.
        prefix (str, optional): Put before the names of figures, with a
            slash. Defaults to None.

    Raises:
        TypeError: If ``ignore_index`` is no integer.
        ValueError: If ``worst`` or ``worst_images`` is out of range; in the
            evaluation, if ``binary`` is True and there are not two classes,
            or if there is no image.

    Examples:
        >>> val_evaluator = [
        ...     dict(type='IoUMetric', iou_metrics=['mIoU']),
        ...     dict(type='mmseg_jml.FineGrainedIoUMetric'),
        ... ]
    """

    default_prefix = ''

    def __init__(
        self,
        worst: float = 5,
        binary: bool = False,
        worst_images: int = 5,
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        check_percent(worst=worst)
        check_integers(ignore_index=ignore_index)
        check_counts(0, worst_images=worst_images)
        self.worst = worst
        self.binary = binary
        self.worst_images = worst_images
        self.ignore_index = ignore_index
        self._forget()

    def _forget(self) -> None:
        self._names: list[str] = []
        # An array per image would fragment memory: what is freed between
        # them, a hundred times their size, could not be used again.
        self._counts = array('q')

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each image."""
        classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            prediction = read_prediction(sample)
            label = read_label(sample, prediction)
            counts = region_counts(
                prediction[None], label[None], classes, self.ignore_index
            )
            self._names.append(str(sample.get('img_path', len(self._names))))
            self._counts.frombytes(torch.cat(counts).cpu().numpy().tobytes())

    def evaluate(self, size: int) -> dict[str, float]:
        """Hand the counts of all images to mmengine, which gathers them."""
        rows = np.frombuffer(self._counts, np.int64)
        classes = len(self.dataset_meta['classes'])
        self.results = [*zip(self._names, rows.reshape(-1, 3, classes))]
        self._forget()
        return super().evaluate(size)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the figures and log the tables.

        Raises:
            ValueError: If there is no image.
        """
        if not results:
            raise ValueError('Expected an image to evaluate, but got none.')
        names, rows = zip(*results)
        counts = RegionCounts(*torch.from_numpy(np.stack(rows, 1)))
        figures = fine_grained_iou(counts, self.worst, self.binary)
        log_tables(
            self._class_table(counts),
            self._level_table(figures),
            self._image_table(names, counts),
        )
        return figures

    def _class_table(self, counts: RegionCounts) -> PrettyTable:
        images = (counts.labelled > 0).sum(0)
        whole = dataset_scores(counts)
        by_image = class_scores(counts, self.binary)
        worst = class_scores(counts, self.binary, self.worst)
        table = PrettyTable(title='fine-grained results per class')
        table.add_column('Class', list(self.dataset_meta['classes']))
        for name in SCORES:
            table.add_column(name, percent(whole[name]))
        table.add_column('IoUC', percent(by_image['IoU']))
        table.add_column(f'IoUC{self.worst:g}', percent(worst['IoU']))
        table.add_column('Images', images.tolist())
        return table

    def _level_table(self, figures: dict[str, float]) -> PrettyTable:
        q = f'{self.worst:g}'
        levels = ('D', 'I', 'IQ', f'I{q}', 'C', 'CQ', f'C{q}')
        table = PrettyTable(('', *levels), title='fine-grained results')
        for name in SCORES:
            values = [figures[f'm{name}{level}'] for level in levels]
            table.add_row([f'm{name}', *(f'{value:.2f}' for value in values)])
        return table

    def _image_table(
        self, names: Sequence[str], counts: RegionCounts
    ) -> PrettyTable:
        scores = image_scores(counts, self.binary)
        order = scores['IoU'].nan_to_num(torch.inf).argsort(stable=True)
        worst = order[: self.worst_images].tolist()
        table = PrettyTable(title='worst images')
        table.add_column('Image', [names[i] for i in worst], align='l')
        for name in SCORES:
            table.add_column(name, percent(scores[name][worst]))
        return table
