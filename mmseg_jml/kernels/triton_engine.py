"""Region sums on CUDA by Triton: from a request to launches of the kernels.

Logits of full size take one launch and one sum over its rows forward, one
launch backward. The host never waits for the device, and no tensor with
classes is copied, unless three or more spatial dimensions do not merge into
two. Smaller logits have kernels of their own for hard labels; others are
upsampled by bands, and each band is a request of full size.
"""

from __future__ import annotations

import functools
import re
from math import prod

import torch
import triton
from torch import Tensor

from . import triton_upsampled
from .bands import Scratch, cut, gradient_by_pieces
from .request import HardLabel, RegionSums, Request, TeacherLogits
from .triton_kernels import backward_kernel, forward_kernel

__all__ = ['gradient', 'sums', 'why_not']

OLDEST = (3, 2)
# Logits of a band: 16 MiB, less than the cache of a large GPU. Not yet timed.
_BAND = 2**22
_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
_VERSION = tuple(map(int, re.findall(r'\d+', triton.__version__)[:2]))
_INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)


def why_not(request: Request) -> str | None:
    """Why the kernels cannot serve a request, or None if they can.

    Shapes, dtypes and the device decide, so that the answer costs nothing.

    Args:
        request (Request): What to sum.

    Returns:
        str | None: The reason, as the end of a sentence.
    """
    logits = request.logits
    if not _INTERPRETED:
        if not logits.is_cuda:
            return f'the logits are on {logits.device}, not on CUDA'
        if reason := _why_not_on(logits.device.index):
            return reason
    if request.norm not in (1, 2):
        return f'norm is {request.norm}, and the kernels know 1 and 2'
    if getattr(request.target, 'window', None) is not None:
        return 'labels smoothed towards neighbours are not served'
    if logits.dtype not in _DTYPES:
        return (
            f'the logits are {logits.dtype}, and the kernels know float32, '
            'bfloat16 and float16'
        )
    if prod(request.size) >= 2**30:
        return 'an image has 2^30 pixels or more'
    return None


@functools.lru_cache(maxsize=None)
def _why_not_on(device: int) -> str | None:
    """What a GPU and the installed Triton lack."""
    if _VERSION < OLDEST:
        return (
            f'Triton is {triton.__version__}, and the kernels need '
            f'{OLDEST[0]}.{OLDEST[1]}'
        )
    if torch.version.hip is not None:
        return 'the kernels were made for GPUs of NVIDIA'
    capability = torch.cuda.get_device_capability(device)
    if capability < (8, 0):
        return (
            f'the GPU has compute capability {capability[0]}.{capability[1]}, '
            'and Triton needs 8.0'
        )
    return None


def sums(request: Request) -> RegionSums:
    """Region sums.

    Args:
        request (Request): One that :func:`why_not` has nothing against.

    Returns:
        RegionSums: Without autograd.

    Raises:
        ValueError: If the logits are larger than the label.
    """
    if not request.is_upsampled:
        return _sums(request)
    if triton_upsampled.serves(request):
        return triton_upsampled.sums(request)
    pieces = cut(request, _BAND, Scratch(request))
    total = RegionSums.zeros(request)
    for index in pieces:
        total.add_(_sums(pieces.read(index)), index.images)
    return total


def gradient(request: Request, slopes: Tensor, kept: object = None) -> Tensor:
    """Derivative of a loss by the logits, from those by the region sums.

    Args:
        request (Request): As for :func:`sums`.
        slopes (Tensor): (N or 1, 3 or 4, C) float32 or float64, as in
            :class:`mmseg_jml.kernels.Reduction`.
        kept (object, optional): Nothing is kept here. Defaults to None.

    Returns:
        Tensor: Of the shape, dtype and layout of the logits.
    """
    slopes = slopes.contiguous()
    if not request.is_upsampled:
        logits = _as_rows(request.logits)
        grad = torch.empty_like(logits)
        _write_gradient(request, logits, slopes, grad)
        return grad.view(request.logits.shape)
    if triton_upsampled.serves(request):
        return triton_upsampled.gradient(request, slopes)
    return gradient_by_pieces(request, slopes, _BAND, _write_piece)


def _sums(request: Request) -> RegionSums:
    """Region sums of logits that have the label's size."""
    if not request.logits.numel():
        return RegionSums.zeros(request)
    logits = _as_rows(request.logits)
    images, classes = logits.shape[:2]
    rows = 4 if request.with_product else 3
    tail = rows * classes
    end = tail + (3 if request.with_hits else 2)
    width = end + (classes if request.largest_of is not None else 0)
    class_weight = request.class_weight
    if class_weight is not None:
        class_weight = class_weight.to(logits.device).contiguous()
    arguments = _arguments(request, logits)
    grid = arguments.pop('grid')
    partial = torch.empty(
        (grid, width), dtype=torch.float32, device=logits.device
    )
    with torch.cuda.device_of(logits):
        forward_kernel[(grid,)](
            class_weight=class_weight,
            sums=partial,
            HITS=request.with_hits,
            LARGEST=request.largest_of,
            **arguments,
        )
    partial = partial.view(images, grid // images, width)
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


def _write_piece(
    piece: Request, slopes: Tensor, scratch: Scratch, out: Tensor
) -> None:
    """The gradient of a band, (B, C, M)."""
    _write_gradient(piece, _as_rows(piece.logits), slopes, _as_rows(out))


def _write_gradient(
    request: Request, logits: Tensor, slopes: Tensor, grad: Tensor
) -> None:
    """The gradient of logits of the label's size, as rows and columns."""
    if not logits.numel():
        return
    arguments = _arguments(request, logits, grad)
    grid = arguments.pop('grid')
    with torch.cuda.device_of(logits):
        backward_kernel[(grid,)](
            slopes=slopes,
            grad=grad,
            slopes_n=slopes[0].numel() if len(slopes) > 1 else 0,
            **arguments,
        )


def _arguments(
    request: Request, logits: Tensor, grad: Tensor | None = None
) -> dict:
    """What both kernels take; with ``grad``, its strides too."""
    target = request.target
    value = smoothed = ignore_index = None
    on, off, inverse_temperature = 1.0, 0.0, 1.0
    if isinstance(target, HardLabel):
        kind, label = 'hard', _packed(target.label)
        ignore_index = target.ignore_index
        if target.is_smoothed:
            kind, smoothed = 'smoothed', _packed(target.smoothed)
            on, off = float(target.on), float(target.off)
    else:
        kind, label = 'probabilities', _as_rows(target.value)
        value = label.stride()
        if isinstance(target, TeacherLogits):
            kind = 'sigmoid' if target.use_sigmoid else 'softmax'
            inverse_temperature = 1 / target.temperature
    return dict(
        logits=logits,
        target=label,
        smoothed=smoothed,
        weight=_packed(request.weight),
        ignore_index=ignore_index,
        on=on,
        off=off,
        inverse_temperature=inverse_temperature,
        KIND=kind,
        SIGMOID=request.use_sigmoid,
        NORM=int(request.norm),
        PRODUCT=request.with_product,
        ENTROPY=request.with_cross_entropy,
        **_plan(
            logits.shape,
            logits.stride(),
            value,
            None if grad is None else grad.stride(),
            kind == 'hard',
            request.with_product,
            request.largest_of is not None,
        ),
    )


@functools.lru_cache(maxsize=1024)
def _plan(
    shape: tuple[int, ...],
    logits: tuple[int, ...],
    target: tuple[int, ...] | None,
    grad: tuple[int, ...] | None,
    is_hard: bool,
    with_product: bool,
    with_largest: bool,
) -> dict:
    """What follows from shape and strides alone: they repeat at each step."""
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
        grid=images * triton.cdiv(pixels, per_program),
        num_pixels=pixels,
        width=columns,
        CLASSES=classes,
        FLAT=all(rows == 1 or s[2] == columns * s[3] for s in known),
        WIDE=any(span(shape, value) >= 2**31 for value in known),
        **_named('logits', logits),
        **_named('target', target or (None,) * 4),
    )
    return plan if grad is None else plan | _named('grad', grad)


def _named(name: str, strides: tuple) -> dict:
    axes = ('n', 'c', 'row', 'col')
    return {f'{name}_{axis}': value for axis, value in zip(axes, strides)}


def launch_configuration(
    num_classes: int,
    num_pixels: int,
    is_hard: bool = True,
    with_product: bool = False,
    with_largest: bool = False,
    is_backward: bool = False,
) -> dict:
    """Tile, warps and tiles of a program, chosen without looking at a GPU.

    A thread holds one pixel and at most 24 classes, which fits its registers.
    With more classes 2, 4 or 8 threads, each of another warp, share a pixel.
    With more than 192, and where the sums asked for are too many, a thread
    holds 4 pixels and 4 classes at a time: it adds the pixels before threads
    have to exchange anything.

    Args:
        num_classes (int): C.
        num_pixels (int): Pixels of all images.
        is_hard (bool): Whether all labels are hard. Defaults to True.
        with_product (bool): Defaults to False.
        with_largest (bool): Defaults to False.
        is_backward (bool): Whether the gradient is asked for, not the sums.
            Defaults to False.

    Returns:
        dict: Arguments of a kernel.
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
        # fewer registers, so that more programs run at a time; with soft
        # labels they would not do, nor with more classes
        configuration['maxnreg'] = 128
    return configuration


def span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Elements from the first to the last of an image."""
    return sum((n - 1) * stride for n, stride in zip(shape[1:], strides[1:]))


def _as_rows(tensor: Tensor) -> Tensor:
    """(N, C, *) as (N, C, rows, columns), a view where there can be one."""
    if tensor.ndim != 4:
        space = tensor.shape[2:]
        columns = space[-1] if space else 1
        tensor = tensor.reshape(*tensor.shape[:2], prod(space[:-1]), columns)
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor


def _packed(tensor: Tensor | None) -> Tensor | None:
    """Numbers of pixels in one piece."""
    if tensor is None:
        return None
    tensor = tensor.contiguous()
    return tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor
