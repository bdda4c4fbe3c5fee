"""The Jaccard metric loss and its sum with the cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    RegionSums,
    Target,
    TeacherLogits,
    region_sums,
)
from mmseg_jml.kernels.reference import (
    cross_entropy,
    pixel_weight,
    working_dtype,
)

from .active_classes import active_classes
from .distributed import sum_over_images
from .inputs import as_target, check_shapes, check_values
from .options import RegionLossOptions
from .region_loss import region_loss

__all__ = ['jaccard_metric_loss', 'pixel_loss']


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
        logits (Tensor): (N, C, *) floats, any number of dimensions.
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
        check (bool, optional): Whether to check the values of labels, soft
            labels and weights. None checks them except on CUDA, where it
            would make the host wait. Defaults to None.
        impl (str): Implementation of the region sums. Defaults to 'auto'.

    Returns:
        Tensor: A scalar, float32 (float64 for float64 logits).

    Raises:
        TypeError: If a dtype does not fit.
        ValueError: If a shape or value does not fit.

    Examples:
        >>> logits = torch.tensor([[[2.0, -1.0], [0.0, 1.0]]])
        >>> label = torch.tensor([[0, 1]])
        >>> jaccard_metric_loss(logits, label)
        tensor(0.1125)
    """
    options = options or RegionLossOptions()
    _check(
        logits, target, weight, ignore_index, use_sigmoid, class_weight, check
    )
    pixels = logits.numel() // logits.shape[1]
    target, weight = as_target(
        logits, target, weight, ignore_index, use_sigmoid, label_smoothing
    )
    sums = region_sums(
        logits,
        target,
        weight,
        norm=options.norm,
        use_sigmoid=use_sigmoid,
        class_weight=class_weight,
        with_product=options.variant == 'jml2',
        with_cross_entropy=ce_weight != 0,
        impl=impl,
    )
    loss = sums.prediction.new_zeros(())
    if jml_weight != 0:
        hard = isinstance(target, HardLabel) and not target.is_smoothed
        mode = (
            options.active_classes_mode_hard
            if hard
            else options.active_classes_mode_soft
        )
        active = active_classes(
            logits, target, weight, sums, mode, options.threshold, use_sigmoid
        )
        loss = loss + jml_weight * region_loss(
            sums, active, options, class_weight, sync
        )
    if ce_weight != 0:
        if avg_factor is None and not avg_non_ignore and class_weight is None:
            avg_factor = pixels * (logits.shape[1] if use_sigmoid else 1)
        loss = loss + ce_weight * _mean_entropy(sums, avg_factor, sync)
    return loss.to(working_dtype(logits))


def _mean_entropy(
    sums: RegionSums, avg_factor: float | None, sync: bool
) -> Tensor:
    """Cross-entropy sum over its mass, 0 where no pixel counts."""
    if avg_factor is not None:  # counts the pixels of this process alone
        factor = max(float(avg_factor), torch.finfo(torch.float32).eps)
        return sums.cross_entropy.sum() / factor
    both = torch.stack([sums.cross_entropy, sums.mass])
    total, mass = sum_over_images(both, dim=1, sync=sync)
    return total / mass.masked_fill(mass == 0, 1)


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
    check: bool | None = None,
) -> Tensor:
    """Each pixel's own term, to rank pixels by difficulty.

    The Jaccard index of a set of pixels is no mean over them. A pixel's own
    term is the Jaccard metric loss of that pixel alone, with classes as the
    set: with d = sum over c of abs(p_c - y_c) / 2 (with sigmoid, the mean of
    abs(p_c - y_c)) it is ``1 - (1 - d) / (1 + d)``. For a hard label d is
    1 - p_y, so that pixels rank as by their cross-entropy.

    Args:
        logits (Tensor): As in :func:`jaccard_metric_loss`, with all that
            follows; the result is multiplied by the weight of the label's
            class too.
        target (Tensor | Target): As there.
        weight (Tensor, optional): As there. Defaults to None.
        ce_weight (float): As there. Defaults to 0.0.
        jml_weight (float): As there. Defaults to 1.0.
        ignore_index (int, optional): As there. Defaults to 255.
        use_sigmoid (bool): As there. Defaults to False.
        class_weight (Tensor, optional): As there. Defaults to None.
        label_smoothing (Mapping, optional): As there. Defaults to None.
        check (bool, optional): As there. Defaults to None.

    Returns:
        Tensor: (N, *), 0 on ignored pixels.

    Examples:
        >>> logits = torch.tensor([[[0.0, 0.0], [0.0, 2.0]]])
        >>> pixel_loss(logits, torch.tensor([[0, 1]]))
        tensor([[0.6667, 0.2130]])
    """
    _check(
        logits, target, weight, ignore_index, use_sigmoid, class_weight, check
    )
    target, weight = as_target(
        logits, target, weight, ignore_index, use_sigmoid, label_smoothing
    )
    logits = logits.to(working_dtype(logits))
    label = target.dense(logits.shape[1], logits.dtype)
    prob = logits.sigmoid() if use_sigmoid else logits.softmax(1)
    error = (prob - label).abs()
    distance = error.mean(1) if use_sigmoid else error.sum(1) / 2
    scale = pixel_weight(logits, target, weight)
    classes = (
        logits.new_ones(logits.shape[1])
        if class_weight is None
        else class_weight.to(logits)
    )
    classes = classes.view(-1, *[1] * (logits.ndim - 2))
    value = jml_weight * 2 * distance / (1 + distance)
    if class_weight is not None:
        value = value * (classes * label).sum(1)
    if ce_weight != 0:
        entropy = classes * cross_entropy(logits, label, use_sigmoid)
        value = value + ce_weight * entropy.sum(1)
    return value * scale


def _check(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None,
    ignore_index: int | None,
    use_sigmoid: bool,
    class_weight: Tensor | None,
    check: bool | None,
) -> None:
    if isinstance(target, HardLabel):
        target, ignore_index = target.label, target.ignore_index
    elif isinstance(target, Probabilities):
        target = target.value
    elif isinstance(target, TeacherLogits):
        target = target.value
        check = False
    check_shapes(logits, target, weight, use_sigmoid, class_weight)
    if check or (check is None and not logits.is_cuda):
        check_values(logits, target, weight, ignore_index, use_sigmoid)
