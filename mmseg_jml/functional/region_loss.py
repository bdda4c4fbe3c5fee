"""From region sums to a loss: arithmetic on (N, C) numbers, in closed form.

The derivative is written out beside each value: it takes a dozen operations,
where autograd would take a hundred.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_jml.kernels import Reduction, RegionSums, Request

from .active_classes import active_classes
from .distributed import (
    largest_of_all,
    number_of_processes,
    sum_over_images,
)
from .options import RegionLossOptions
from .overlap_index import LEAST_MASS, index_of, score_of

__all__ = ['LossReduction']


@dataclass(frozen=True)
class LossReduction:
    """Cross-entropy and region loss from the sums of a batch.

    Args:
        request (Request): The request of the sums.
        options (RegionLossOptions): What the region loss computes.
        jml_weight (float): Factor of the region loss.
        ce_weight (float): Factor of the cross-entropy.
        avg_factor (float, optional): What the summed cross-entropy of this
            process is divided by. None divides by its mass.
        sync (bool): Whether the batch is that of all processes.
    """

    request: Request
    options: RegionLossOptions
    jml_weight: float
    ce_weight: float
    avg_factor: float | None
    sync: bool

    def __call__(self, sums: RegionSums) -> Reduction:
        """Compute the loss and its slopes.

        ``others`` of the result are the cross-entropy and the region loss,
        times their factors (None if a factor is 0), and the sum of the hits
        (None if the request does not ask for them).
        """
        entropy = region = None
        if self.jml_weight != 0:
            region, rows = self._region(sums)
        else:
            rows = [torch.zeros_like(sums.by_class[:1, 0])] * 2
        if self.ce_weight != 0:
            entropy, by_likelihood = self._cross_entropy(sums)
            by_likelihood = by_likelihood.expand_as(rows[0])
        else:
            by_likelihood = torch.zeros_like(rows[0])
        terms = [term for term in (region, entropy) if term is not None]
        hits = None if sums.hits is None else sums.hits.sum()
        slopes = torch.stack([rows[0], by_likelihood, *rows[1:]], 1)
        return Reduction(_total(terms), slopes, (entropy, region, hits))

    def _region(self, sums: RegionSums) -> tuple[Tensor, list[Tensor]]:
        """Compute the region loss times its factor, and its slopes."""
        options, sync, dtype = self.options, self.sync, self.request.dtype
        mode = options.active_classes(self.request.is_hard)
        values, slopes = [], []
        if options.mIoUD > 0:
            batch = _sum_of_batch(sums, dtype, sync)
            active = active_classes(batch, mode, options.threshold)
            number = active.sum(dtype=dtype).clamp(min=1)
            share = active / number * (-options.mIoUD * self.jml_weight)
            value, rows = self._weighted_scores(batch.by_class, share)
            values.append(value)
            slopes.append(rows)
        if options.mIoUI > 0 or options.mIoUC > 0:
            active = active_classes(sums, mode, options.threshold)
            share = _share_of_images(active.to(dtype), options, sync)
            value, rows = self._weighted_scores(
                sums.by_class.to(dtype), share * -self.jml_weight
            )
            values.extend(sum_over_images(value.unsqueeze(0), sync=sync))
            slopes.append(rows)
        total = [_total(list(rows)) for rows in zip(*slopes)]
        if sync:
            total = [row * number_of_processes() for row in total]
        return _total(values), total

    def _weighted_scores(
        self, by_class: Tensor, weight: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Compute the weighted sum of scores, and its derivatives.

        ``by_class`` is (R, 3 or 4, C), ``weight`` (R, C). The derivatives,
        each (R, C), are those by P, by T and, for JML2, by the sum of p y.
        """
        options = self.options
        index, bottom, empty = index_of(by_class, options)
        if self.request.class_weight is not None:
            weight = weight * self.request.class_weight.to(weight)
        score, slope = score_of(index, options)
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
            by_product = by_top - by_bottom
            return value, [by_prediction, by_bottom * both, by_product]
        return value, [by_prediction, by_top.add(by_bottom, alpha=both - 1)]

    def _cross_entropy(self, sums: RegionSums) -> tuple[Tensor, Tensor]:
        """Compute the mean cross-entropy times its factor, and its slopes."""
        request, sync = self.request, self.sync and self.avg_factor is None
        (total,) = sum_over_images(
            sums.by_image, sync=sync, dtype=request.dtype
        )
        likelihood, mass = total.unbind()
        if self.avg_factor is not None:  # of this process alone
            least = torch.finfo(torch.float32).eps
            mass = torch.full_like(mass, max(float(self.avg_factor), least))
        scale = mass.clamp(min=LEAST_MASS).reciprocal() * -self.ce_weight
        slope = scale
        if sync:
            slope = slope * number_of_processes()
        if request.class_weight is not None:
            slope = slope * request.class_weight.to(scale)
        return likelihood * scale, slope


def _sum_of_batch(
    sums: RegionSums, dtype: torch.dtype, sync: bool
) -> RegionSums:
    """Add up the sums of all images, as if they were one."""
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
    """Compute the weight of the term of each class in each image, (N, C).

    At the image level terms are averaged over the active classes of an image,
    then over images that have any; at the class level over the images where a
    class is active, then over classes.
    """
    classes = active.sum(1, keepdim=True)
    count, images = sum_over_images(
        active, (classes > 0).to(active), sync=sync
    )
    number = (count > 0).sum().clamp(min=1)
    image = classes.clamp(min=1) * images.clamp(min=1)
    category = count.clamp(min=1) * number
    return active * (options.mIoUI / image + options.mIoUC / category)


def _total(values: list[Tensor]) -> Tensor:
    return functools.reduce(torch.add, values)
