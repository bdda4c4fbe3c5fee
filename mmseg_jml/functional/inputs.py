"""From what users and heads pass to what region sums take, with checks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmseg_jml.kernels import HardLabel, Probabilities, Target

from .soft_labels import smooth_label

__all__ = ['as_target', 'check_shapes', 'check_values']

# Soft labels that went through float16 sum to 1 only to this.
_SUM_TOLERANCE = 5e-3


def check_shapes(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    use_sigmoid: bool,
    class_weight: Tensor | None,
) -> None:
    """Checks that ranks, sizes and dtypes fit, which costs no time.

    Args:
        logits (Tensor): Should be (N, C, *) floats.
        target (Tensor): Should be (N, *) integers or (N, C, *) floats; with
            ``use_sigmoid`` also (N, C, *) integers 0 and 1.
        weight (Tensor, optional): Should be (N, *) floats or bools.
        use_sigmoid (bool): Whether classes are not exclusive.
        class_weight (Tensor, optional): Should be (C,).

    Raises:
        TypeError: If a dtype does not fit.
        ValueError: If a shape does not fit.
    """
    if logits.ndim < 2 or not logits.is_floating_point():
        raise TypeError(
            'Expected pred to be float logits of shape '
            f'(N, C, *), but got {_describe(logits)}'
        )
    if logits.shape[1] == 1 and not use_sigmoid:
        raise ValueError(
            'Expected at least 2 channels in pred, since the softmax over one '
            f'is constant, but got {_describe(logits)}; a one-channel head '
            'takes use_sigmoid=True'
        )
    _check_target(logits, target, use_sigmoid)
    pixels = logits.shape[:1] + logits.shape[2:]
    if weight is not None and weight.shape != pixels:
        raise ValueError(
            f'Expected weight of shape {tuple(pixels)}, one number a pixel, '
            f'but got {_describe(weight)}'
        )
    if class_weight is not None and len(class_weight) != logits.shape[1]:
        raise ValueError(
            f'Expected class_weight to have {logits.shape[1]} numbers, one '
            f'for each channel of pred, but got {len(class_weight)}'
        )


def _check_target(logits: Tensor, target: Tensor, use_sigmoid: bool) -> None:
    pixels = logits.shape[:1] + logits.shape[2:]
    if target.shape == pixels and target.ndim == logits.ndim - 1:
        if target.is_floating_point():
            raise TypeError(
                'Expected a hard label to hold integers, but got '
                f'{_describe(target)}; pass target.long(), or a soft label '
                f'of shape {tuple(logits.shape)}'
            )
        return
    if target.shape != logits.shape:
        raise ValueError(
            f'Expected target to be a hard label of shape {tuple(pixels)} or '
            f'a soft label of shape {tuple(logits.shape)} for pred of shape '
            f'{tuple(logits.shape)}, but got {_describe(target)}'
        )
    if not target.is_floating_point() and not use_sigmoid:
        raise TypeError(
            'Expected a soft label to hold float probabilities, but got '
            f'{_describe(target)}; pass target.float(), or the class index '
            f'of each pixel in shape {tuple(pixels)}'
        )


@torch.no_grad()
def check_values(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int | None,
    use_sigmoid: bool,
) -> None:
    """Checks labels, soft labels and weights; reads every pixel.

    On a GPU this waits for the device.

    Args:
        logits (Tensor): (N, C, *); not read.
        target (Tensor): As for :func:`check_shapes`.
        weight (Tensor, optional): Pixels of weight 0 are not checked.
        ignore_index (int, optional): A label that needs no class.
        use_sigmoid (bool): Soft labels need not sum to 1.

    Raises:
        ValueError: If a label is neither in [0, C) nor ``ignore_index``, a
            soft label lies outside [0, 1] or does not sum to 1, or a weight
            is negative.
    """
    if weight is not None and not bool((weight >= 0).all()):
        raise ValueError(
            f'Expected weight to be at least 0, but got {weight.min().item()}'
        )
    if target.ndim == logits.ndim - 1:
        _check_hard(target, max(logits.shape[1], 2), ignore_index)
    else:
        keep = None if weight is None else weight > 0
        _check_soft(target, keep, use_sigmoid)


def _check_hard(
    label: Tensor, num_classes: int, ignore_index: int | None
) -> None:
    # the usual case, all labels valid, in one pass
    bad = (label < 0) | (label >= num_classes)
    if ignore_index is not None:
        bad &= label != ignore_index
    if bool(bad.any()):
        raise ValueError(
            f'Expected labels in [0, {num_classes}) or ignore_index='
            f'{ignore_index}, but got {label[bad].unique().tolist()[:8]}; '
            'check num_classes, ignore_index and reduce_zero_label'
        )


def _check_soft(value: Tensor, keep: Tensor | None, use_sigmoid: bool) -> None:
    if not value.numel():
        return
    low, high = _range(value)
    if keep is not None and not _is_probability(low, high):
        # a copy as large as the label, where other pixels hold anything
        value = value.where(keep.unsqueeze(1), 1 / value.shape[1])
        low, high = _range(value)
    if not _is_probability(low, high):
        hint = ''
        if value.is_floating_point() and bool((value == value.round()).all()):
            hint = (
                '; these look like class indices, which belong in an '
                'integer label of shape (N, *)'
            )
        raise ValueError(
            'Expected soft labels in [0, 1], but got values from '
            f'{low} to {high}{hint}'
        )
    if use_sigmoid:
        return
    error = (value.sum(1, dtype=torch.float32) - 1).abs()
    if keep is not None:
        error = error.where(keep, 0)
    off = error.max().item()
    if off > _SUM_TOLERANCE:
        raise ValueError(
            'Expected soft labels that sum to 1 over the classes, but got a '
            f'sum that is off by {off:.4g}; divide by the sum, or give the '
            'pixels that have no label a weight of 0'
        )


def _range(value: Tensor) -> tuple[float, float]:
    low, high = value.aminmax()
    return low.item(), high.item()


def _is_probability(low: float, high: float) -> bool:
    """Whether both lie in [0, 1] but for rounding; never for NaN."""
    return low >= -_SUM_TOLERANCE and high <= 1 + _SUM_TOLERANCE


def as_target(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None = None,
    ignore_index: int | None = 255,
    use_sigmoid: bool = False,
    label_smoothing: Mapping | None = None,
) -> tuple[Target, Tensor | None]:
    """The target and pixel weights for region sums.

    Args:
        logits (Tensor): (N, C, *).
        target (Tensor | Target): A hard or a soft label; a target stays as it
            is.
        weight (Tensor, optional): (N, *). Defaults to None.
        ignore_index (int, optional): Label of pixels that do not count.
            Defaults to 255.
        use_sigmoid (bool): Whether classes are not exclusive. Defaults to
            False.
        label_smoothing (Mapping, optional): Arguments of
            :func:`mmseg_jml.functional.smooth_label`, for hard labels. A soft
            label stays as it is. Defaults to None.

    Returns:
        tuple[Target, Tensor | None]: Target and weight.
    """
    if not isinstance(target, Tensor):
        return target, weight
    num_classes = logits.shape[1]
    if target.ndim == logits.ndim:
        return Probabilities(target), weight
    label = target.long()
    if label_smoothing is None:
        hard = HardLabel(label, ignore_index)
    else:
        hard = smooth_label(
            label,
            num_classes,
            ignore_index=ignore_index,
            use_sigmoid=use_sigmoid,
            **label_smoothing,
        )
    if num_classes > 1:
        return hard, weight
    return _foreground(hard, weight, logits.dtype)


def _foreground(
    hard: HardLabel, weight: Tensor | None, dtype: torch.dtype
) -> tuple[Target, Tensor]:
    """The probability of label 1, all that a one-channel head predicts."""
    dtype = torch.promote_types(dtype, torch.float32)
    counted = hard.counted().to(dtype)
    value = hard.dense(2, dtype)[:, 1:]
    return Probabilities(
        value
    ), counted if weight is None else weight * counted


def _describe(tensor: Tensor) -> str:
    return f'{tensor.dtype} of shape {tuple(tensor.shape)}'
