"""Turn what users and heads pass to a loss into a checked request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmseg_jml.kernels import (
    HardLabel,
    Probabilities,
    Request,
    Target,
    TeacherLogits,
)

from .checks import Expectation, check_later
from .option_checks import check_integers
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
    label_smoothing: Mapping[str, Any] | None = None,
    align_corners: bool = False,
    check: bool | None = None,
) -> Request:
    """Check the arguments of a loss, and make a request from them.

    Arguments and errors are those of
    :func:`mmseg_jml.functional.loss_parts`, which has the same defaults.

    Returns:
        Request: The logits, the target and the weights; no optional sum is
        asked for yet.

    Examples:
        >>> logits, label = torch.zeros(1, 2, 3), torch.tensor([[0, 1, 255]])
        >>> make_request(logits, label).target.counted()
        tensor([[ True,  True, False]])
    """
    _check_kinds(logits, target, weight)
    check_integers(ignore_index=ignore_index)
    _check_logits(logits, use_sigmoid, class_weight)
    if isinstance(target, HardLabel):
        values, ignore_index = target.label, target.ignore_index
    else:
        values = target if isinstance(target, Tensor) else target.value
    _check_target(logits, target, values, use_sigmoid)
    if check is not False and not isinstance(target, TeacherLogits):
        expected = Expectation(
            max(logits.shape[1], 2),
            ignore_index,
            use_sigmoid,
            is_hard=values.ndim == logits.ndim - 1,
        )
        if check or not logits.is_cuda:
            expected.check(values, weight)
        else:
            check_later(expected, values, weight)
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


def _check_kinds(logits: object, target: object, weight: object) -> None:
    tensors = dict(pred=logits)
    if weight is not None:
        tensors['weight'] = weight
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f'Expected {name} to be a tensor, but got '
                f'{type(value).__name__}'
            )
    if not isinstance(
        target, (Tensor, HardLabel, Probabilities, TeacherLogits)
    ):
        raise TypeError(
            'Expected target to be a tensor, or a target of '
            f'mmseg_jml.kernels, but got {type(target).__name__}'
        )


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
    size = target.size if isinstance(target, TeacherLogits) else None
    is_teacher = isinstance(target, TeacherLogits)
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
    """Tell whether logits have a label's size or can be upsampled to it."""
    space = logits.shape[2:]
    if values.shape[:1] != logits.shape[:1] or len(size) != len(space):
        return False
    larger = len(space) == 2 and all(n <= m for n, m in zip(space, size))
    return tuple(size) == tuple(space) or larger


def _describe(tensor: Tensor) -> str:
    return f'{tensor.dtype} of shape {tuple(tensor.shape)}'


def as_target(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None = None,
    ignore_index: int | None = 255,
    use_sigmoid: bool = False,
    label_smoothing: Mapping[str, Any] | None = None,
) -> tuple[Target, Tensor | None]:
    """Make the target and the pixel weights of a request, without checks.

    Arguments are those of :func:`mmseg_jml.functional.loss_parts`, which has
    the same defaults.

    Returns:
        tuple[Target, Tensor | None]: A target of :mod:`mmseg_jml.kernels`,
        unchanged if it was one already, and the pixel weights. Hard labels of
        a head with one channel always come with weights, 0 where ignored.

    Examples:
        >>> logits = torch.zeros(1, 2, 3)
        >>> target, weight = as_target(logits, torch.tensor([[0, 1, 255]]))
        >>> target.dense(2, torch.float32)
        tensor([[[1., 0., 0.],
                 [0., 1., 0.]]])
    """
    if not isinstance(target, Tensor):
        return target, weight
    if target.ndim == logits.ndim:
        return Probabilities(target), weight
    label, classes = target.long(), logits.shape[1]
    hard = HardLabel(label, ignore_index)
    if label_smoothing is not None:
        hard = smooth_label(
            label,
            classes,
            ignore_index=ignore_index,
            use_sigmoid=use_sigmoid,
            **label_smoothing,
        )
    if classes > 1:
        return hard, weight
    # a head with one channel predicts the probability of label 1 alone
    dtype = torch.promote_types(logits.dtype, torch.float32)
    counted = hard.counted().to(dtype)
    return (
        Probabilities(hard.dense(2, dtype)[:, 1:]),
        counted if weight is None else weight * counted,
    )
