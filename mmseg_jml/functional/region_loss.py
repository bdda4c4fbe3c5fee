"""From region sums to a loss: arithmetic on (N, C) numbers, in closed form.

The derivative is written out beside each value, since autograd would take a
hundred small operations for what is a dozen.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_jml.kernels import Reduction, RegionSums

from .active_classes import active_classes
from .distributed import (
    largest_of_all,
    number_of_processes,
    sum_over_images,
)
from .options import ActiveClasses, RegionLossOptions

__all__ = ['LossReduction', 'overlap_index', 'weighted_scores']

# Below this mass, in pixels, a class's derivative no longer grows: with
# smooth=0 it would overflow, and infinity times a probability of 0 is NaN.
_LEAST_MASS = 1e-24


@dataclass(frozen=True)
class LossReduction:
    """Cross-entropy and region loss from the sums of a batch.

    Args:
        options (RegionLossOptions): What the region loss computes.
        active (str | Sequence[int]): The classes that it averages.
        jml_weight (float): Factor of the region loss.
        ce_weight (float): Factor of the cross-entropy.
        class_weight (Tensor, optional): (C,), multiplies each class term of
            the region loss; the cross-entropy has it in its sums already.
        avg_factor (float, optional): What the summed cross-entropy of this
            process is divided by. None divides by its mass.
        sync (bool): Whether the batch is that of all processes.
        dtype (torch.dtype): Of the loss.
    """

    options: RegionLossOptions
    active: ActiveClasses
    jml_weight: float
    ce_weight: float
    class_weight: Tensor | None
    avg_factor: float | None
    sync: bool
    dtype: torch.dtype

    def __call__(self, sums: RegionSums) -> Reduction:
        """The loss, and besides it the cross-entropy, the region loss, hits.

        ``others`` are the two terms with their factors, None where a factor
        is 0, and the sum of the hits, None where they were not asked for.
        """
        entropy = region = None
        value, slopes = 0.0, None
        if self.jml_weight != 0:
            region, slopes = self._region(sums)
            value = region
        if self.ce_weight != 0:
            entropy, pull = self._cross_entropy(sums)
            value = value + entropy
            if slopes is None:
                slopes = [torch.zeros_like(sums.by_class[:1, 0])] * 2
            slopes.insert(1, pull.expand_as(slopes[0]))
        else:
            slopes.insert(1, torch.zeros_like(slopes[0]))
        hits = None if sums.hits is None else sums.hits.sum()
        slopes = torch.stack(slopes, 1)
        return Reduction(value, slopes, (entropy, region, hits))

    def _region(self, sums: RegionSums) -> tuple[Tensor, list[Tensor]]:
        """The region loss times its factor, and its slopes."""
        options, sync = self.options, self.sync
        weigh = functools.partial(
            weighted_scores, options=options, class_weight=self.class_weight
        )
        value, slopes = 0.0, None
        if options.mIoUD > 0:
            batch = _sum_of_batch(sums, self.dtype, sync)
            active = active_classes(batch, self.active, options.threshold)
            number = active.sum(dtype=self.dtype).clamp(min=1)
            share = active / number * (-options.mIoUD * self.jml_weight)
            value, slopes = weigh(batch.by_class, share)
        if options.mIoUI > 0 or options.mIoUC > 0:
            active = active_classes(sums, self.active, options.threshold)
            share = _share_of_images(active.to(self.dtype), options, sync)
            share = share * -self.jml_weight
            own, rows = weigh(sums.by_class.to(self.dtype), share)
            (own,) = sum_over_images(own.unsqueeze(0), sync=sync)
            value = value + own
            if slopes is not None:
                rows = [a + b for a, b in zip(rows, slopes)]
            slopes = rows
        if sync:
            slopes = [row * number_of_processes() for row in slopes]
        return value, slopes

    def _cross_entropy(self, sums: RegionSums) -> tuple[Tensor, Tensor]:
        """Its mean times its factor, and the slope (1, C) of each class."""
        sync = self.sync and self.avg_factor is None
        (total,) = sum_over_images(sums.by_image, sync=sync, dtype=self.dtype)
        likelihood, mass = total.unbind()
        if self.avg_factor is not None:  # of this process alone
            least = torch.finfo(torch.float32).eps
            mass = torch.full_like(mass, max(float(self.avg_factor), least))
        scale = mass.clamp(min=_LEAST_MASS).reciprocal() * -self.ce_weight
        pull = scale
        if sync:
            pull = pull * number_of_processes()
        if self.class_weight is not None:
            pull = pull * self.class_weight.to(scale)
        return likelihood * scale, pull


def _sum_of_batch(
    sums: RegionSums, dtype: torch.dtype, sync: bool
) -> RegionSums:
    """The sums of all images as those of one."""
    (by_class,) = sum_over_images(sums.by_class, sync=sync, dtype=dtype)
    largest = sums.largest
    if largest is not None:
        largest = largest.amax(0, keepdim=True)
        if sync:
            largest = largest_of_all(largest)
    return RegionSums(by_class.unsqueeze(0), sums.by_image, largest)


def _share_of_images(
    active: Tensor, options: RegionLossOptions, sync: bool
) -> Tensor:
    """(N, C), how much the term of a class in an image counts.

    At the image level terms are averaged over the classes of an image, then
    over images that have any; at the class level over the images of a class,
    then over classes.
    """
    classes = active.sum(1, keepdim=True)
    count, images = sum_over_images(
        active, (classes > 0).to(active), sync=sync
    )
    number = (count > 0).sum().clamp(min=1)
    image = classes.clamp(min=1) * images.clamp(min=1)
    category = count.clamp(min=1) * number
    return active * (options.mIoUI / image + options.mIoUC / category)


def overlap_index(sums: RegionSums, options: RegionLossOptions) -> Tensor:
    """Jaccard, Dice or Tversky index of each class.

    With P, Y and T of :class:`mmseg_jml.kernels.RegionSums` it is
    ``(tp + s) / (tp + alpha (P - T) + beta (Y - T) + s)``; tp is T, or the
    sum of p y for JML2. It is 1 where nothing is labelled and nothing
    predicted, also with s = 0.

    Args:
        sums (RegionSums): Sums of N images and C classes.
        options (RegionLossOptions): Its alpha, beta, smooth and variant.

    Returns:
        Tensor: (N, C) in [0, 1].
    """
    return _index(sums.by_class, options)[0]


def _index(
    by_class: Tensor, options: RegionLossOptions
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The index, its denominator, and where that is 0; None: nowhere."""
    prediction, label, overlap, *product = by_class.unbind(1)
    top = product[0] if options.variant == 'jml2' else overlap
    top = top + options.smooth
    bottom = top.add(prediction, alpha=options.alpha)
    bottom = bottom.add(label, alpha=options.beta)
    bottom = bottom.sub(overlap, alpha=options.alpha + options.beta)
    if options.smooth > 0:
        return top / bottom, bottom, None
    empty = bottom <= 0
    top, divisor = (x.masked_fill(empty, 1.0) for x in (top, bottom))
    return top / divisor, bottom.clamp(min=_LEAST_MASS), empty


def weighted_scores(
    by_class: Tensor,
    weight: Tensor,
    options: RegionLossOptions,
    class_weight: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """A weighted sum of scores, the negative terms of a region loss.

    With the index of :func:`overlap_index`, the score of a class is
    ``index - 1``, or ``log(index)``, or minus the power gamma of its
    negative.

    Args:
        by_class (Tensor): (R, 3 or 4, C) sums.
        weight (Tensor): (R, C), the weight of each score.
        options (RegionLossOptions): Which index and score.
        class_weight (Tensor, optional): (C,), multiplies ``weight``.
            Defaults to None.

    Returns:
        tuple[Tensor, list[Tensor]]: The sum, and its derivatives by P, by T
        and, for JML2, by the sum of p y, each (R, C).
    """
    index, bottom, empty = _index(by_class, options)
    if class_weight is not None:
        weight = weight * class_weight.to(weight)
    score, slope = _score(index, options)
    value = (score * weight).sum()
    if slope is not None:
        weight = weight * slope
    if empty is not None:
        weight = weight.masked_fill(empty, 0.0)
    by_top = weight / bottom
    by_bottom = by_top * index
    by_prediction = by_bottom * -options.alpha
    both = options.alpha + options.beta
    if options.variant == 'jml2':
        return value, [by_prediction, by_bottom * both, by_top - by_bottom]
    return value, [by_prediction, by_top.add(by_bottom, alpha=both - 1)]


def _score(
    index: Tensor, options: RegionLossOptions
) -> tuple[Tensor, Tensor | None]:
    """The score of an index and its derivative; None means 1."""
    if options.log_loss:
        score, slope = index.log(), index.reciprocal()
    else:
        score, slope = index - 1, None
    if options.gamma > 1:
        # rounding may leave 1 - index at -1e-17, whose power is NaN
        term = (-score).clamp(min=0)
        steep = options.gamma * term ** (options.gamma - 1)
        score, slope = -(term**options.gamma), _times(steep, slope)
    return score, slope


def _times(value: Tensor, factor: Tensor | None) -> Tensor:
    return value if factor is None else value * factor
