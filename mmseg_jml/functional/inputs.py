"""From what users and heads pass to a request of region sums, with checks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    Request,
    Target,
    TeacherLogits,
)

from .checks import Expectation, check_later, check_now
from .soft_labels import smooth_label

__all__ = ['as_target', 'make_request']


def make_request(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = 255,
    use_sigmoid: bool = False,
    class_weight: Tensor | None = None,
    label_smoothing: Mapping | None = None,
    align_corners: bool = False,
    check: bool | None = None,
) -> Request:
    """A checked request.

    Args:
        logits (Tensor): (N, C, *) floats; with two spatial dimensions they
            may be smaller than the label.
        target (Tensor | Target): (N, *) integers, (N, C, *) floats, or a
            target of :mod:`mmseg_jml.kernels`, which stays as it is.
        weight (Tensor, optional): (N, *), of the label's size. Defaults to
            None.
        ignore_index (int, optional): Label of pixels that do not count.
            Defaults to 255.
        use_sigmoid (bool): Whether classes are not exclusive. Defaults to
            False.
        class_weight (Tensor, optional): (C,). Defaults to None.
        label_smoothing (Mapping, optional): Arguments of
            :func:`mmseg_jml.functional.smooth_label`, for hard labels. A soft
            label stays as it is. Defaults to None.
        align_corners (bool): How smaller logits are upsampled. Defaults to
            False.
        check (bool, optional): Whether to check values; None checks them,
            on CUDA without a wait. Defaults to None.

    Returns:
        Request: Of the logits.

    Raises:
        TypeError: If a dtype does not fit.
        ValueError: If a shape or value does not fit.
    """
    _check_logits(logits, use_sigmoid, class_weight)
    values = target
    if isinstance(target, HardLabel):
        values, ignore_index = target.label, target.ignore_index
    elif not isinstance(target, Tensor):
        values = target.value
    is_hard = values.ndim == logits.ndim - 1
    _check_target(logits, target, values, use_sigmoid)
    if check is not False and not isinstance(target, TeacherLogits):
        classes = max(logits.shape[1], 2)
        expected = Expectation(classes, ignore_index, use_sigmoid)
        wait = check or not logits.is_cuda
        look = check_now if wait else check_later
        look(expected, values, weight, is_hard)
    target, weight = as_target(
        logits, target, weight, ignore_index, use_sigmoid, label_smoothing
    )
    request = Request(
        logits,
        target,
        weight,
        class_weight,
        use_sigmoid=use_sigmoid,
        align_corners=align_corners,
    )
    pixels = logits.shape[:1] + request.size
    if weight is not None and weight.shape != pixels:
        raise ValueError(
            f'Expected weight of shape {tuple(pixels)}, one number a pixel, '
            f'but got {_describe(weight)}'
        )
    return request


def _check_logits(
    logits: Tensor, use_sigmoid: bool, class_weight: Tensor | None
) -> None:
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
    if class_weight is not None and len(class_weight) != logits.shape[1]:
        raise ValueError(
            f'Expected class_weight to have {logits.shape[1]} numbers, one '
            f'for each channel of pred, but got {len(class_weight)}'
        )


def _check_target(
    logits: Tensor, target: Tensor | Target, values: Tensor, use_sigmoid: bool
) -> None:
    is_teacher = isinstance(target, TeacherLogits)
    size = target.size if is_teacher else None
    if _fits(logits, values, values.shape[1:]) and not is_teacher:
        if values.is_floating_point():
            raise TypeError(
                'Expected a hard label to hold integers, but got '
                f'{_describe(values)}; pass target.long(), or a soft label '
                f'of shape {tuple(logits.shape)}'
            )
        return
    if values.shape[:2] != logits.shape[:2] or not _fits(
        logits, values, values.shape[2:] if size is None else size
    ):
        pixels = logits.shape[:1] + logits.shape[2:]
        raise ValueError(
            f'Expected target to be a hard label of shape {tuple(pixels)} or '
            f'a soft label of shape {tuple(logits.shape)} for pred of shape '
            f'{tuple(logits.shape)}, or of a larger height and width, but got '
            f'{_describe(values)}'
        )
    if not values.is_floating_point() and not use_sigmoid:
        raise TypeError(
            'Expected a soft label to hold float probabilities, but got '
            f'{_describe(values)}; pass target.float(), or the class index '
            f'of each pixel in shape {(*values.shape[:1], *values.shape[2:])}'
        )


def _fits(logits: Tensor, values: Tensor, size: tuple[int, ...]) -> bool:
    """Whether logits are of a label's size, or can be upsampled to it."""
    space = logits.shape[2:]
    if values.shape[:1] != logits.shape[:1] or len(size) != len(space):
        return False
    larger = len(space) == 2 and all(n <= m for n, m in zip(space, size))
    return tuple(size) == tuple(space) or larger


def as_target(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None = None,
    ignore_index: int | None = 255,
    use_sigmoid: bool = False,
    label_smoothing: Mapping | None = None,
) -> tuple[Target, Tensor | None]:
    """The target and the pixel weights of a request, without checks.

    Args:
        logits (Tensor): (N, C, *) floats.
        target (Tensor | Target): (N, *) integers, (N, C, *) floats, or a
            target of :mod:`mmseg_jml.kernels`, which stays as it is.
        weight (Tensor, optional): (N, *). Defaults to None.
        ignore_index (int, optional): Label of pixels that do not count.
            Defaults to 255.
        use_sigmoid (bool): Whether classes are not exclusive. Defaults to
            False.
        label_smoothing (Mapping, optional): Arguments of
            :func:`mmseg_jml.functional.smooth_label`. Defaults to None.

    Returns:
        tuple[Target, Tensor | None]: The target; and the weights, which a
        head of one channel gets in any case.
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
