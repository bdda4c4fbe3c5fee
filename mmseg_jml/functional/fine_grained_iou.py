"""Mean accuracy, IoU and Dice at three levels, with their worst cases."""

from __future__ import annotations

import torch
from torch import Tensor

from .option_checks import check_percent
from .region_counts import RegionCounts
from .region_scores import (
    class_scores,
    dataset_scores,
    image_scores,
    worst_mean,
)

__all__ = ['fine_grained_iou']

_NAMES = ('Acc', 'IoU', 'Dice')
_TENTHS = [10.0 * i for i in range(1, 11)]


def fine_grained_iou(
    counts: RegionCounts, worst: float = 5, binary: bool = False
) -> dict[str, float]:
    """Compute mean accuracy, IoU and Dice at the levels D, I and C.

    "Revisiting Evaluation Metrics for Semantic Segmentation: Optimization
    and Evaluation of Fine-grained Intersection over Union" (arXiv
    2310.19252). D takes the pixels of the data set together, I averages over
    images the mean over the classes of an image, C averages over classes the
    mean over the images of a class. A suffix stands for a worst case: a
    number q for the mean of the worst q % of images (at C, of each class's
    images), ``Q`` for the average of that over q = 10, 20, ... 100.

    A mean leaves out classes that are absent everywhere, and images without a
    counted pixel. At level D a class that is predicted somewhere and labelled
    nowhere has an IoU of 0, which counts: ``mIoUD`` is mmseg's mIoU.

    Args:
        counts (RegionCounts): One row per image.
        worst (float): q, in percent, in (0, 100]. Defaults to 5.
        binary (bool): Whether class 1 is the foreground, whose score alone
            counts at D and I. An image where it is neither labelled nor
            predicted scores 100 at I; level C averages both classes, each
            over the images where it is labelled or predicted. Defaults to
            False.

    Returns:
        dict[str, float]: In percent: ``Acc``; ``mAcc``, ``mIoU``, ``mDice``
        with ``D``, ``I``, ``C``, and for I and C with ``Q`` and q: for
        instance ``mIoUI``, ``mIoUIQ``, ``mIoUI5``. NaN where nothing counts.

    Raises:
        ValueError: If ``worst`` is out of range, or ``binary`` is True and
            there are not two classes.

    Examples:
        >>> from mmseg_jml.functional import region_counts
        >>> prediction = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]])
        >>> label = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 1]])
        >>> figures = fine_grained_iou(region_counts(prediction, label, 2))
        >>> round(figures['mIoUD'], 2), round(figures['mIoUI'], 2)
        (52.38, 47.92)
    """
    check_percent(worst=worst)
    if binary and counts.hit.shape[1] != 2:
        raise ValueError(
            'Expected two classes, background and foreground, with '
            f'binary=True, but got {counts.hit.shape[1]}'
        )
    whole = _stacked(dataset_scores(counts))
    images = _stacked(image_scores(counts, binary))
    levels = {'D': whole[1] if binary else whole.nanmean(0)}
    worst_cases = {'': [100.0], f'{worst:g}': [worst], 'Q': _TENTHS}
    for suffix, percents in worst_cases.items():
        scores = [worst_mean(images, q) for q in percents]
        levels[f'I{suffix}'] = torch.stack(scores).mean(0)
        scores = [_stacked(class_scores(counts, binary, q)) for q in percents]
        levels[f'C{suffix}'] = torch.stack(scores).nanmean(1).mean(0)
    kept = slice(1, None) if binary else slice(None)
    hit, _, labelled = (value.sum(0)[kept].sum() for value in counts)
    figures = {'Acc': 100 * float(hit.double() / labelled)}
    for level, values in levels.items():
        for name, value in zip(_NAMES, values.tolist()):
            figures[f'm{name}{level}'] = 100 * value
    return figures


def _stacked(scores: dict[str, Tensor]) -> Tensor:
    """Stack the three scores as columns, (*, 3)."""
    return torch.stack(list(scores.values()), -1)
