"""The index of each class from its region sums, and its score in the loss."""

from __future__ import annotations

from torch import Tensor

from mmseg_jml.kernels import RegionSums

from .options import RegionLossOptions

__all__ = ['LEAST_MASS', 'index_of', 'overlap_index', 'score_of']

# Below this mass, in pixels, a class's derivative no longer grows: with
# smooth=0 it would overflow, and infinity times a probability of 0 is NaN.
LEAST_MASS = 1e-24


def overlap_index(sums: RegionSums, options: RegionLossOptions) -> Tensor:
    """Compute the Jaccard, Dice or Tversky index of each class.

    With P, Y and T of :class:`mmseg_jml.kernels.RegionSums` and s for
    ``smooth`` it is ``(tp + s) / (tp + alpha (P - T) + beta (Y - T) + s)``,
    where tp is T, or for JML2 the sum of p y. It is 1 where nothing is
    labelled and nothing predicted, also with s = 0. For papers see
    :func:`jaccard_metric_loss` and :class:`RegionLossOptions`.

    Args:
        sums (RegionSums): Sums of N images and C classes.
        options (RegionLossOptions): Alpha, beta, smooth and variant are read.

    Returns:
        Tensor: (N, C) in [0, 1].

    Examples:
        >>> import torch
        >>> three = torch.tensor([[[3.0], [4.0], [2.0]]])  # P, Y and T
        >>> sums = RegionSums(three, by_image=torch.zeros(1, 2))
        >>> overlap_index(sums, RegionLossOptions(smooth=0.0))
        tensor([[0.4000]])
    """
    return index_of(sums.by_class, options)[0]


def index_of(
    by_class: Tensor, options: RegionLossOptions
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Compute the index of each class, and what its derivative needs.

    Returns:
        tuple[Tensor, Tensor, Tensor | None]: The index (N, C), its
        denominator, and a mask of denominators that are 0, which is None if
        smoothing keeps them above 0.
    """
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
    return top / divisor, bottom.clamp(min=LEAST_MASS), empty


def score_of(
    index: Tensor, options: RegionLossOptions
) -> tuple[Tensor, Tensor | None]:
    """Compute the score of an index: minus its term of the loss.

    Returns:
        tuple[Tensor, Tensor | None]: The score, and its derivative by the
        index, where None stands for 1.
    """
    slope = None
    if options.log_loss:
        score, slope = index.log(), index.reciprocal()
    else:
        score = index - 1
    if options.gamma > 1:
        # rounding may leave 1 - index at -1e-17, whose power is NaN
        term = (-score).clamp(min=0)
        steep = options.gamma * term ** (options.gamma - 1)
        score = -(term**options.gamma)
        slope = steep if slope is None else steep * slope
    return score, slope
