"""Region sums on CUDA by Triton: which kernels serve which request.

Logits of full size take one launch and one sum over its rows forward, one
launch backward. The host never waits for the device, and no tensor with
classes is copied, unless three or more spatial dimensions do not merge into
two. Smaller logits have kernels of their own for hard labels; with other
targets they are upsampled by bands, each of which is a request of full size.
"""

from __future__ import annotations

import functools
import re
from math import prod

import torch
import triton
from torch import Tensor

from ..cut import cut, gradient_by_pieces
from ..pieces import Scratch
from ..request import Request
from ..results import RegionSums
from . import full_size, upsampled
from .full_size_kernels import forward_kernel

__all__ = ['gradient', 'sums', 'why_not']

OLDEST = (3, 2)
# Logits of a band: 16 MiB, less than the cache of a large GPU. Not yet timed.
_BAND = 2**22
_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
_VERSION = tuple(map(int, re.findall(r'\d+', triton.__version__)[:2]))
_INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)


def why_not(request: Request) -> str | None:
    """Return why the kernels cannot serve a request, or None if they can.

    It looks at shapes, dtypes and the device alone, so that it costs nothing.
    The reason completes the sentence "Triton cannot, because ...".
    """
    logits = request.logits
    if not _INTERPRETED:
        if not logits.is_cuda:
            return f'the logits are on {logits.device}, not on CUDA'
        reason = _why_not_on(logits.device.index)
        if reason is not None:
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
def _why_not_on(device: int | None) -> str | None:
    """Return what a GPU or the installed Triton lacks; None for nothing."""
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
    """Return the region sums of a request that :func:`why_not` accepts.

    Raises:
        ValueError: If the logits are larger than the label.
    """
    if not request.is_upsampled:
        return full_size.sums(request)
    if upsampled.serves(request):
        return upsampled.sums(request)
    pieces = cut(request, _BAND, Scratch(request))
    total = RegionSums.zeros(request)
    for index in pieces:
        total.add_(full_size.sums(pieces.read(index)), index.images)
    return total


def gradient(request: Request, slopes: Tensor, kept: object = None) -> Tensor:
    """Return the gradient of the logits; these sums have ``kept`` nothing."""
    slopes = slopes.contiguous()
    if not request.is_upsampled:
        return full_size.gradient(request, slopes)
    if upsampled.serves(request):
        return upsampled.gradient(request, slopes)
    return gradient_by_pieces(request, slopes, _BAND, full_size.write_gradient)
