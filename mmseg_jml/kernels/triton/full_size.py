"""Launches of the kernels for logits of the label's size."""

from __future__ import annotations

import functools
from math import prod
from typing import Any

import torch
import triton
from torch import Tensor

from ..pieces import Scratch
from ..request import Request
from ..results import RegionSums
from ..targets import HardLabel, Target, TeacherLogits
from .full_size_kernels import backward_kernel, forward_kernel
from .launch import class_weight, named_strides, packed, slope_arguments

__all__ = [
    'gradient',
    'launch_configuration',
    'span',
    'sums',
    'write_gradient',
]


def sums(request: Request) -> RegionSums:
    """Return the sums of logits that have the label's size."""
    if not request.logits.numel():
        return RegionSums.zeros(request)
    logits = _as_rows(request.logits)
    images, classes = logits.shape[:2]
    rows = 4 if request.with_product else 3
    tail = rows * classes
    end = tail + (3 if request.with_hits else 2)
    width = end + (classes if request.largest_of is not None else 0)
    programs, arguments = _arguments(request, logits)
    partial = torch.empty(
        (programs, width), dtype=torch.float32, device=logits.device
    )
    with torch.cuda.device_of(logits):
        forward_kernel[(programs,)](
            class_weight=class_weight(request),
            sums=partial,
            PRODUCT=request.with_product,
            HITS=request.with_hits,
            LARGEST=request.largest_of,
            **arguments,
        )
    partial = partial.view(images, programs // images, width)
    total = partial[:, :, :end].sum(1, dtype=torch.float64)
    largest = None
    if request.largest_of is not None:
        largest = partial[:, :, end:].amax(1).double()
    return RegionSums(
        total[:, :tail].view(images, rows, classes),
        total[:, tail : tail + 2],
        largest,
        total[:, tail + 2] if request.with_hits else None,
    )


def gradient(request: Request, slopes: Tensor) -> Tensor:
    """Return the gradient of logits that have the label's size."""
    result = torch.empty_like(_as_rows(request.logits))
    write_gradient(request, slopes, None, result)
    return result.view(request.logits.shape)


def write_gradient(
    request: Request, slopes: Tensor, scratch: Scratch | None, out: Tensor
) -> None:
    """Write the gradient to ``out``, as ``gradient_by_pieces`` wants it."""
    logits, out = _as_rows(request.logits), _as_rows(out)
    if not logits.numel():
        return
    programs, arguments = _arguments(request, logits, out)
    with torch.cuda.device_of(logits):
        backward_kernel[(programs,)](
            grad=out,
            **slope_arguments(slopes),
            **arguments,
        )


def _arguments(
    request: Request, logits: Tensor, grad: Tensor | None = None
) -> tuple[int, dict[str, Any]]:
    """Return the number of programs, and the arguments of both kernels."""
    target = _target_arguments(request.target)
    label = target['target']
    plan = _plan(
        logits.shape,
        logits.stride(),
        None if isinstance(request.target, HardLabel) else label.stride(),
        None if grad is None else grad.stride(),
        request.is_hard,
        request.with_product,
        request.largest_of is not None,
    )
    arguments = dict(
        logits=logits,
        weight=packed(request.weight),
        SIGMOID=request.use_sigmoid,
        NORM=int(request.norm),
        ENTROPY=request.with_cross_entropy,
        **target,
        **plan,
    )
    return arguments.pop('programs'), arguments


def _target_arguments(target: Target) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(
        smoothed=None,
        ignore_index=None,
        on=1.0,
        off=0.0,
        inverse_temperature=1.0,
    )
    if not isinstance(target, HardLabel):
        arguments.update(target=_as_rows(target.value), KIND='probabilities')
        if isinstance(target, TeacherLogits):
            arguments['KIND'] = 'sigmoid' if target.use_sigmoid else 'softmax'
            arguments['inverse_temperature'] = 1 / target.temperature
        return arguments
    arguments.update(
        target=packed(target.label),
        ignore_index=target.ignore_index,
        KIND='hard',
    )
    if target.is_smoothed:
        arguments.update(
            smoothed=packed(target.smoothed),
            on=float(target.on),
            off=float(target.off),
            KIND='smoothed',
        )
    return arguments


@functools.lru_cache(maxsize=1024)
def _plan(
    shape: tuple[int, ...],
    logits: tuple[int, ...],
    target: tuple[int, ...] | None,
    grad: tuple[int, ...] | None,
    is_hard: bool,
    with_product: bool,
    with_largest: bool,
) -> dict[str, Any]:
    """Plan a launch by shape and strides alone, which repeat at each step."""
    images, classes, rows, columns = shape
    pixels = rows * columns
    known = [value for value in (logits, target, grad) if value is not None]
    plan = launch_configuration(
        classes,
        images * pixels,
        is_hard,
        with_product,
        with_largest,
        is_backward=grad is not None,
    )
    per_program = plan['BLOCK_P'] * plan['tiles']
    plan.update(
        programs=images * triton.cdiv(pixels, per_program),
        num_pixels=pixels,
        width=columns,
        CLASSES=classes,
        FLAT=all(rows == 1 or s[2] == columns * s[3] for s in known),
        WIDE=any(span(shape, value) >= 2**31 for value in known),
        **named_strides('logits', logits),
        **named_strides('target', target or (None,) * 4),
        **named_strides('grad', grad or ()),
    )
    return plan


def launch_configuration(
    num_classes: int,
    num_pixels: int,
    is_hard: bool = True,
    with_product: bool = False,
    with_largest: bool = False,
    is_backward: bool = False,
) -> dict[str, Any]:
    """Choose tile, warps and tiles of a program, without looking at a GPU.

    A thread holds one pixel and at most 24 classes, which fits its registers.
    With more classes 2, 4 or 8 threads, each of another warp, share a pixel.
    With more than 192 classes, or with too many sums to hold, a thread holds
    4 pixels and 4 classes at a time: it adds up its pixels before threads
    have to exchange anything.

    ``num_pixels`` counts all images; the options are those of the request.
    """
    sharing = triton.next_power_of_2(triton.cdiv(num_classes, 24))
    held = triton.cdiv(num_classes, sharing)
    crowded = with_product and with_largest and not is_backward
    if sharing > 8 or (crowded and held > 4):
        return dict(
            BLOCK_C=4, BLOCK_P=512, tiles=1, num_warps=4, enable_fp_fusion=True
        )
    block_p, num_warps = (128, 4) if sharing == 1 else (32, sharing)
    configuration = dict(
        BLOCK_C=triton.next_power_of_2(num_classes),
        BLOCK_P=block_p,
        tiles=min(max(num_pixels // block_p // 1024, 1), 32),
        num_warps=num_warps,
        enable_fp_fusion=True,
    )
    if is_backward and is_hard and held <= (18 if with_product else 21):
        # fewer registers, so that more programs run at a time; soft labels
        # and more classes would need more
        configuration['maxnreg'] = 128
    return configuration


def span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Count the elements from the first to the last of an image."""
    return sum((n - 1) * stride for n, stride in zip(shape[1:], strides[1:]))


def _as_rows(tensor: Tensor) -> Tensor:
    """Reshape (N, C, *) to (N, C, rows, columns), by a view if possible."""
    if tensor.ndim != 4:
        space = tensor.shape[2:]
        columns = space[-1] if space else 1
        tensor = tensor.reshape(*tensor.shape[:2], prod(space[:-1]), columns)
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor
