"""Jaccard metric loss and cross-entropy of a batch from one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from mmseg_jml.kernels import HardLabel, Request, Target, reduced

from .active_classes import largest_of
from .inputs import make_request
from .option_checks import check_at_least
from .options import RegionLossOptions
from .region_loss import LossReduction
from .smoothing_watch import warn_of_swamped_classes

__all__ = ['LossParts', 'loss_parts']


class LossParts(NamedTuple):
    """A loss and what it is made of, all scalars.

    Attributes:
        loss (Tensor): ``ce_weight`` times the cross-entropy plus
            ``jml_weight`` times the Jaccard metric loss, differentiable.
        cross_entropy (Tensor, optional): ``ce_weight`` times the
            cross-entropy, detached; None if ``ce_weight`` is 0.
        jaccard (Tensor, optional): ``jml_weight`` times the Jaccard metric
            loss, detached; None if ``jml_weight`` is 0.
        accuracy (Tensor, optional): Share of the counted pixels whose
            labelled class has the largest logit, in percent, float32; 100
            where no pixel counts.

    Examples:
        >>> logits, label = torch.zeros(1, 2, 3), torch.tensor([[0, 1, 255]])
        >>> parts = loss_parts(logits, label, ce_weight=1.0)
        >>> parts.loss == parts.cross_entropy + parts.jaccard
        tensor(True)
    """

    loss: Tensor
    cross_entropy: Tensor | None
    jaccard: Tensor | None
    accuracy: Tensor | None


def loss_parts(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None = None,
    *,
    options: RegionLossOptions | None = None,
    ce_weight: float = 0.0,
    jml_weight: float = 1.0,
    ignore_index: int | None = 255,
    use_sigmoid: bool = False,
    class_weight: Tensor | None = None,
    label_smoothing: Mapping[str, Any] | None = None,
    avg_factor: float | None = None,
    avg_non_ignore: bool = True,
    sync: bool = False,
    align_corners: bool = False,
    check: bool | None = None,
    impl: str = 'auto',
    with_accuracy: bool = False,
) -> LossParts:
    """Compute the loss of :func:`jaccard_metric_loss` and its parts.

    Args:
        logits (Tensor): (N, C, *) floats. With two spatial dimensions they
            may be smaller than the label: the loss is then that of
            ``F.interpolate(logits, size, mode='bilinear',
            align_corners=align_corners)``, but that tensor is never made.
        target (Tensor | Target): (N, *) integers in [0, C), or (N, C, *)
            floats in [0, 1] that sum to 1 over classes, or a target of
            :mod:`mmseg_jml.kernels` such as ``TeacherLogits``.
        weight (Tensor, optional): (N, *) >= 0. Defaults to None.
        options (RegionLossOptions, optional): Index, focal power, levels and
            active classes. None means its defaults. Defaults to None.
        ce_weight (float): Factor of the cross-entropy. Defaults to 0.0.
        jml_weight (float): Factor of the Jaccard metric loss. Defaults to
            1.0.
        ignore_index (int, optional): Label of pixels that do not count; for
            a soft label give them a weight of 0. Defaults to 255.
        use_sigmoid (bool): One sigmoid per class: multi-label targets, and
            one-channel heads with labels 0 and 1. Defaults to False.
        class_weight (Tensor, optional): (C,), multiplies the Jaccard terms
            and weighs the cross-entropy as in torch. Defaults to None.
        label_smoothing (Mapping, optional): Smooths hard labels; arguments
            of :func:`smooth_label`. Defaults to None.
        avg_factor (float, optional): What the summed cross-entropy is
            divided by. The Jaccard index, a ratio, has no use for it.
            Defaults to None.
        avg_non_ignore (bool): Whether the cross-entropy is a (weighted) mean
            over counted pixels. False divides by all pixels where there are
            no class weights. Defaults to True.
        sync (bool): Whether the loss is that of the batches of all
            processes together. Defaults to False.
        align_corners (bool): How smaller logits are upsampled. Defaults to
            False.
        check (bool, optional): Whether to check the values of labels, soft
            labels and weights. None checks them, on CUDA some batches and
            without waiting for the device: a later call raises the error.
            Unless it is False, a warning is logged once if smoothing gives a
            class more label than it has of its own. Defaults to None.
        impl (str): Implementation of the region sums, see
            :func:`mmseg_jml.kernels.region_sums`. Defaults to 'auto'.
        with_accuracy (bool): Whether to compute the accuracy of hard labels
            in the same pass over the pixels. Defaults to False.

    Returns:
        LossParts: The loss and its parts.

    Raises:
        TypeError: If a type or dtype does not fit.
        ValueError: If a shape or value does not fit.

    Examples:
        >>> logits = torch.tensor([[[2.0, -1.0], [0.0, 1.0]]])
        >>> parts = loss_parts(
        ...     logits, torch.tensor([[0, 1]]), ce_weight=0.25, jml_weight=0.75
        ... )
        >>> parts.cross_entropy, parts.jaccard
        (tensor(0.0317), tensor(0.0844))
    """
    check_at_least(0, ce_weight=ce_weight, jml_weight=jml_weight)
    if jml_weight == 0 and ce_weight == 0:
        raise ValueError(
            'Expected ce_weight or jml_weight to be above 0, but got 0 for '
            'both'
        )
    if not isinstance(avg_factor, (Tensor, type(None))):
        check_at_least(0, avg_factor=avg_factor)
    options = options or RegionLossOptions()
    request = make_request(
        logits,
        target,
        weight,
        ignore_index=ignore_index,
        use_sigmoid=use_sigmoid,
        class_weight=class_weight,
        label_smoothing=label_smoothing,
        align_corners=align_corners,
        check=check,
    )
    if check is not False and jml_weight != 0:
        warn_of_swamped_classes(request)
    if avg_factor is None and not avg_non_ignore and class_weight is None:
        avg_factor = request.size.numel() * len(logits)
        avg_factor *= logits.shape[1] if use_sigmoid else 1
    largest = None
    if jml_weight != 0:
        largest = largest_of(options, request.is_hard)
    request = replace(
        request,
        norm=options.norm,
        with_product=options.variant == 'jml2' and jml_weight != 0,
        with_cross_entropy=ce_weight != 0,
        with_hits=with_accuracy,
        largest_of=largest,
    )
    reduction = LossReduction(
        request, options, jml_weight, ce_weight, avg_factor, sync
    )
    loss, entropy, jaccard, hits = reduced(request, reduction, impl)
    accuracy = None if hits is None else _accuracy(hits, request)
    return LossParts(cast(Tensor, loss), entropy, jaccard, accuracy)


def _accuracy(hits: Tensor, request: Request) -> Tensor:
    """Return the hits in percent; 100 where no pixel counts, as in mmseg."""
    counted = cast(HardLabel, request.target).counted()
    if request.weight is not None:
        counted = counted * request.weight
    eps = torch.finfo(torch.float32).eps
    return (100 * (hits + eps) / (counted.sum() + eps)).float()
