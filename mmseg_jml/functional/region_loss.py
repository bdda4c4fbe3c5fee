"""From region sums to a loss: arithmetic on (N, C) numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from mmseg_jml.kernels import RegionSums

from .distributed import sum_over_images
from .options import RegionLossOptions

__all__ = ['overlap_index', 'region_loss']


def overlap_index(sums: RegionSums, options: RegionLossOptions) -> Tensor:
    """Jaccard, Dice or Tversky index of each row of ``sums``.

    ``(tp + s) / (tp + alpha fp + beta fn + s)``; 1 where nothing is labelled
    and nothing predicted, also with s = 0.

    Args:
        sums (RegionSums): Sums of shape (*, C).
        options (RegionLossOptions): Its alpha, beta, smooth and variant.

    Returns:
        Tensor: (*, C) in [0, 1].
    """
    hit = sums.product if options.variant == 'jml2' else sums.overlap
    numerator = hit + options.smooth
    denominator = (
        numerator
        + options.alpha * (sums.prediction - sums.overlap)
        + options.beta * (sums.target - sums.overlap)
    )
    empty = denominator <= 0
    return torch.where(
        empty, 1.0, numerator / denominator.masked_fill(empty, 1.0)
    )


def region_loss(
    sums: RegionSums,
    active: Tensor,
    options: RegionLossOptions,
    class_weight: Tensor | None = None,
    sync: bool = False,
) -> Tensor:
    """Mean of the class terms over active classes, at three levels.

    The levels are those of "Revisiting Evaluation Metrics for Semantic
    Segmentation" (arXiv 2310.19252): the data set (here the batch), the
    image, the class. Images without a counted pixel are left out, and a mean
    over nothing is 0 with a graph.

    Args:
        sums (RegionSums): Sums of shape (N, C).
        active (Tensor): (N, C) bool, the classes that count in an image; the
            batch counts those of any image.
        options (RegionLossOptions): What to compute.
        class_weight (Tensor, optional): (C,), multiplies each class term.
            Defaults to None.
        sync (bool): Whether the batch is that of all processes. Defaults to
            False.

    Returns:
        Tensor: The loss, a float64 scalar.
    """
    seen = (sums.prediction + sums.target).sum(1, keepdim=True) > 0
    active = (active & seen).to(sums.overlap)
    count = sum_over_images(active, sync=sync)
    loss = sums.overlap.new_zeros(())
    if options.mIoUD > 0:
        term = _term(_batch_sums(sums, sync), options, class_weight)
        loss = loss + options.mIoUD * _mean(term, (count > 0).to(term))
    if options.mIoUI > 0 or options.mIoUC > 0:
        term = _term(sums, options, class_weight)
    if options.mIoUI > 0:
        seen = (active.sum(1) > 0).to(term)
        image = torch.stack([_mean(term, active) * seen, seen])
        total, images = sum_over_images(image, dim=1, sync=sync)
        loss = loss + options.mIoUI * total / images.clamp(min=1)
    if options.mIoUC > 0:
        mean = sum_over_images(term * active, sync=sync) / count.clamp(min=1)
        loss = loss + options.mIoUC * _mean(mean, (count > 0).to(term))
    return loss


def _batch_sums(sums: RegionSums, sync: bool) -> RegionSums:
    """One row of sums for the batch, by a single collective."""
    product = sums.overlap if sums.product is None else sums.product
    stacked = torch.stack(
        [sums.prediction, sums.target, sums.overlap, product]
    )
    prediction, target, overlap, product = sum_over_images(
        stacked, dim=1, sync=sync
    )
    return sums._replace(
        prediction=prediction, target=target, overlap=overlap, product=product
    )


def _term(
    sums: RegionSums, options: RegionLossOptions, class_weight: Tensor | None
) -> Tensor:
    index = overlap_index(sums, options)
    term = -index.log() if options.log_loss else 1 - index
    if options.gamma > 1:
        # rounding may leave 1 - index at -1e-17, whose power is NaN
        term = term.clamp(min=0) ** options.gamma
    return term if class_weight is None else term * class_weight


def _mean(value: Tensor, active: Tensor) -> Tensor:
    """Mean over classes, (*, C) -> (*), 0 where no class is active."""
    return (value * active).sum(-1) / active.sum(-1).clamp(min=1)
