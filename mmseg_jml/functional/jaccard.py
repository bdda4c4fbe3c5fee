"""The Jaccard metric loss and its sum with the cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_jml.kernels import Request, Target, reduced
from mmseg_jml.kernels.reference import (
    cross_entropy,
    pixel_weight,
    upsampled,
)

from .active_classes import largest_of
from .inputs import make_request
from .options import RegionLossOptions
from .region_loss import LossReduction
from .smoothing_watch import warn_of_swamped_classes

__all__ = ['LossParts', 'jaccard_metric_loss', 'loss_parts', 'pixel_loss']


class LossParts(NamedTuple):
    """A loss and what it is made of, scalars.

    Attributes:
        loss (Tensor): ``ce_weight`` times the cross-entropy plus
            ``jml_weight`` times the Jaccard metric loss, differentiable.
        cross_entropy (Tensor, optional): Its part of the loss, with its
            factor; None where that is 0. Without a graph.
        jaccard (Tensor, optional): The part of the Jaccard metric loss, with
            its factor; None where that is 0. Without a graph.
        accuracy (Tensor, optional): Share of the counted pixels whose
            labelled class has the largest logit, in percent, float32; 100
            where no pixel counts.
    """

    loss: Tensor
    cross_entropy: Tensor | None
    jaccard: Tensor | None
    accuracy: Tensor | None


def jaccard_metric_loss(
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
    label_smoothing: Mapping | None = None,
    avg_factor: float | None = None,
    avg_non_ignore: bool = True,
    sync: bool = False,
    align_corners: bool = False,
    check: bool | None = None,
    impl: str = 'auto',
) -> Tensor:
    """Jaccard metric loss, and optionally cross-entropy from the same pass.

    With the default options, p the softmax of ``logits`` and y the (one-hot
    or soft) label::

        jaccard = 1 - (sum(min(p, y)) + 1) / (sum(max(p, y)) + 1)
        jml = jaccard.mean()              # over the classes that are active
        loss = jml_weight * jml + ce_weight * F.cross_entropy(logits, target)

    where sums run over the pixels of the batch. On hard labels this is the
    soft Jaccard loss. On soft labels it is 0 exactly at p = y, and it is a
    metric, which the soft Jaccard loss is not: "Jaccard Metric Losses:
    Optimizing the Jaccard Index with Soft Labels" (arXiv 2302.05666).

    Ignored pixels and pixels of weight 0 change neither value nor gradient.
    Sums are taken in float64, probabilities in float32 at least.

    Args:
        logits (Tensor): (N, C, *) floats, any number of dimensions. With two
            spatial dimensions they may be smaller than the label: the loss is
            then that of ``F.interpolate(logits, size, mode='bilinear',
            align_corners=align_corners)``, which never exists.
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
            divided by; a ratio such as the Jaccard index has no use for it.
            Defaults to None.
        avg_non_ignore (bool): Whether the cross-entropy is a (weighted) mean
            over counted pixels. False divides by all pixels where there are
            no class weights. Defaults to True.
        sync (bool): Whether the loss is that of the batches of all
            processes together. Defaults to False.
        align_corners (bool): How smaller logits are upsampled, as for
            ``F.interpolate``. Defaults to False.
        check (bool, optional): Whether to check the values of labels, soft
            labels and weights. None checks them, on CUDA without waiting for
            the device: a batch that does not fit is reported one of the next
            times. Unless it is False, a warning tells once where smoothing
            gives a class more label than it has. Defaults to None.
        impl (str): Implementation of the region sums, see
            :func:`mmseg_jml.kernels.region_sums`. Defaults to 'auto'.

    Returns:
        Tensor: A scalar, float32 (float64 for float64 logits).

    Raises:
        TypeError: If a dtype does not fit.
        ValueError: If a shape or value does not fit.

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[[2.0, -1.0], [0.0, 1.0]]])
        >>> label = torch.tensor([[0, 1]])
        >>> jaccard_metric_loss(logits, label)
        tensor(0.1125)
    """
    return loss_parts(
        logits,
        target,
        weight,
        options=options,
        ce_weight=ce_weight,
        jml_weight=jml_weight,
        ignore_index=ignore_index,
        use_sigmoid=use_sigmoid,
        class_weight=class_weight,
        label_smoothing=label_smoothing,
        avg_factor=avg_factor,
        avg_non_ignore=avg_non_ignore,
        sync=sync,
        align_corners=align_corners,
        check=check,
        impl=impl,
    ).loss


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
    label_smoothing: Mapping | None = None,
    avg_factor: float | None = None,
    avg_non_ignore: bool = True,
    sync: bool = False,
    align_corners: bool = False,
    with_accuracy: bool = False,
    check: bool | None = None,
    impl: str = 'auto',
) -> LossParts:
    """The loss of :func:`jaccard_metric_loss`, and what it is made of.

    Args:
        logits (Tensor): All arguments but one are those of
            :func:`jaccard_metric_loss`.
        target (Tensor | Target): The label.
        weight (Tensor, optional): Pixel weights. Defaults to None.
        options (RegionLossOptions, optional): Defaults to None.
        ce_weight (float): Defaults to 0.0.
        jml_weight (float): Defaults to 1.0.
        ignore_index (int, optional): Defaults to 255.
        use_sigmoid (bool): Defaults to False.
        class_weight (Tensor, optional): Defaults to None.
        label_smoothing (Mapping, optional): Defaults to None.
        avg_factor (float, optional): Defaults to None.
        avg_non_ignore (bool): Defaults to True.
        sync (bool): Defaults to False.
        align_corners (bool): Defaults to False.
        with_accuracy (bool): Whether to compute the accuracy, for hard
            labels; the pass over the pixels knows it. Defaults to False.
        check (bool, optional): Defaults to None.
        impl (str): Defaults to 'auto'.

    Returns:
        LossParts: The loss and its parts.

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[[2.0, -1.0], [0.0, 1.0]]])
        >>> parts = loss_parts(
        ...     logits, torch.tensor([[0, 1]]), ce_weight=0.25, jml_weight=0.75
        ... )
        >>> parts.cross_entropy, parts.jaccard
        (tensor(0.0317), tensor(0.0844))
    """
    if jml_weight == 0 and ce_weight == 0:
        raise ValueError(
            'Expected ce_weight or jml_weight to be above 0, but got 0 for '
            'both'
        )
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
    mode = (
        options.active_classes_mode_hard
        if request.is_hard
        else options.active_classes_mode_soft
    )
    largest = largest_of(mode, request.is_hard) if jml_weight != 0 else None
    request = replace(
        request,
        norm=options.norm,
        with_product=options.variant == 'jml2' and jml_weight != 0,
        with_cross_entropy=ce_weight != 0,
        with_hits=with_accuracy,
        largest_of=largest,
    )
    reduce = LossReduction(
        options,
        mode,
        jml_weight,
        ce_weight,
        class_weight,
        avg_factor,
        sync,
        request.dtype,
    )
    *terms, hits = reduced(request, reduce, impl)
    accuracy = None if hits is None else _accuracy(hits, request)
    return LossParts(*terms, accuracy)


def _accuracy(hits: Tensor, request: Request) -> Tensor:
    """Hits in percent, 100 where no pixel counts, as mmseg has it."""
    counted = request.target.counted()
    if request.weight is not None:
        counted = counted * request.weight
    eps = torch.finfo(torch.float32).eps
    return (100 * (hits + eps) / (counted.sum() + eps)).float()


def pixel_loss(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None = None,
    *,
    ce_weight: float = 0.0,
    jml_weight: float = 1.0,
    ignore_index: int | None = 255,
    use_sigmoid: bool = False,
    class_weight: Tensor | None = None,
    label_smoothing: Mapping | None = None,
    align_corners: bool = False,
    check: bool | None = None,
) -> Tensor:
    """Each pixel's own term, to rank pixels by difficulty.

    The Jaccard index of a set of pixels is no mean over them. A pixel's own
    term is the Jaccard metric loss of that pixel alone, with classes as the
    set: with d = sum over c of abs(p_c - y_c) / 2 (with sigmoid, the mean of
    abs(p_c - y_c)) it is ``1 - (1 - d) / (1 + d)``. For a hard label d is
    1 - p_y, so that pixels rank as by their cross-entropy.

    Args:
        logits (Tensor): (N, C, *) floats.
        target (Tensor | Target): (N, *) integers, (N, C, *) floats or a
            target of :mod:`mmseg_jml.kernels`.
        weight (Tensor, optional): (N, *) >= 0, multiplies the result.
            Defaults to None.
        ce_weight (float): Factor of the cross-entropy. Defaults to 0.0.
        jml_weight (float): Factor of the pixel's own Jaccard metric loss.
            Defaults to 1.0.
        ignore_index (int, optional): Label of pixels that do not count.
            Defaults to 255.
        use_sigmoid (bool): One sigmoid per class. Defaults to False.
        class_weight (Tensor, optional): (C,), multiplies the result by the
            weight of the label's class. Defaults to None.
        label_smoothing (Mapping, optional): Smooths hard labels. Defaults to
            None.
        align_corners (bool): How smaller logits are upsampled; here this
            makes logits of full size. Defaults to False.
        check (bool, optional): Whether to check values. Defaults to None.

    Returns:
        Tensor: (N, *), 0 on ignored pixels.

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[[0.0, 0.0], [0.0, 2.0]]])
        >>> pixel_loss(logits, torch.tensor([[0, 1]]))
        tensor([[0.6667, 0.2130]])
    """
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
    request = upsampled(request)
    logits = request.logits
    label = request.target.dense(logits.shape[1], logits.dtype)
    prob = logits.sigmoid() if use_sigmoid else logits.softmax(1)
    error = (prob - label).abs()
    distance = error.mean(1) if use_sigmoid else error.sum(1) / 2
    value = jml_weight * 2 * distance / (1 + distance)
    classes = logits.new_ones(logits.shape[1])
    if class_weight is not None:
        classes = class_weight.to(logits)
    classes = classes.view(-1, *[1] * (logits.ndim - 2))
    if class_weight is not None:
        value = value * (classes * label).sum(1)
    if ce_weight != 0:
        entropy = classes * cross_entropy(logits, label, use_sigmoid)
        value = value + ce_weight * entropy.sum(1)
    return value * pixel_weight(request)
