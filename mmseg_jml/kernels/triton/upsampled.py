"""Launches of the kernels for upsampled logits and hard labels."""

from __future__ import annotations

import functools
from math import prod
from typing import NamedTuple, cast

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..request import Request
from ..results import RegionSums
from ..targets import HardLabel
from ..upsampling import axis
from .full_size import span
from .launch import class_weight, named_strides, packed, slope_arguments
from .normalizer_kernel import normalizer_kernel
from .upsampled_kernels import gradient_kernel, sums_kernel

__all__ = ['gradient', 'runs', 'serves', 'sums']

WHOLE = 32  # the most classes that are not chunked


class Runs(NamedTuple):
    """How an axis is upsampled: ``upsampling.axis`` in the kernels' form.

    Attributes:
        first (Tensor): (n + 2,) int32, where the run of a quad begins.
        quad (Tensor): (m,) int32, the quad of each output.
        share (Tensor): (m,) float32, the share of the second input; where
            only one input exists, it has all of it.
        longest (int): The length of the longest run.
    """

    first: Tensor
    quad: Tensor
    share: Tensor
    longest: int


@functools.lru_cache(maxsize=64)
def runs(
    inputs: int, outputs: int, align_corners: bool, device: torch.device
) -> Runs:
    """Return the table of an axis, made on the CPU to not wait for a GPU.

    Examples:
        >>> table = runs(2, 4, False, torch.device('cpu'))
        >>> table.first.tolist(), table.share.tolist()
        ([0, 1, 3, 4], [1.0, 0.25, 0.75, 0.0])
    """
    table = axis(
        inputs, outputs, align_corners, torch.float64, torch.device('cpu')
    )
    share = table.share[table.inside]
    share[table.interval == 0] = 1
    share[table.interval == inputs] = 0
    return Runs(
        table.first.int().to(device),
        table.interval.int().to(device),
        share.float().to(device),
        table.share.shape[1],
    )


def serves(request: Request) -> bool:
    """Tell whether these kernels can serve a request of small logits.

    What any request to Triton needs, such as its device and dtype, is for
    ``engine.why_not`` to check. ``tl.gather`` came after Triton 3.2.
    """
    logits = request.logits
    known = request.is_hard and request.norm == 1 and not request.use_sigmoid
    if not known or request.largest_of is not None or logits.ndim != 4:
        return False
    if len(logits) >= 2**16:  # CUDA has no more programs along axis 1
        return False
    extent = max(
        span(logits.shape, logits.stride()),
        prod(logits.shape[1:]),
        prod(request.size),
    )
    return hasattr(tl, 'gather') and extent < 2**30


def sums(request: Request) -> RegionSums:
    """Return sums of hard labels and logits at the head's resolution."""
    if _is_empty(request):
        return RegionSums.zeros(request)
    launch = _Launch(request)
    normalizer = None
    with torch.cuda.device_of(request.logits):
        if launch.is_chunked:
            normalizer, by_tile = launch.normalize()
            by_image = by_tile.sum(1, dtype=torch.float64)
        total = launch.sums(normalizer)
    if not launch.is_chunked:
        total, by_image = total[:, :-3], total[:, -3:]
    by_class = total.unflatten(1, (3, -1))
    if request.with_product:  # equal to the overlap
        by_class = torch.cat([by_class, by_class[:, 2:]], 1)
    hits = by_image[:, 2] if request.with_hits else None
    return RegionSums(by_class, by_image[:, :2], None, hits)


def gradient(request: Request, slopes: Tensor) -> Tensor:
    """Return the gradient of the logits; the slopes are contiguous."""
    if _is_empty(request):
        return torch.zeros_like(request.logits)
    with torch.cuda.device_of(request.logits):
        return _Launch(request).gradient(slopes)


def _is_empty(request: Request) -> bool:
    return not (request.logits.numel() and prod(request.size))


class _Launch:
    """Launches of the kernels for one request."""

    def __init__(self, request: Request) -> None:
        logits = request.logits.detach()
        target = cast(HardLabel, request.target)
        self.request, self.logits = request, logits
        self.images, classes, height, width = logits.shape
        self.is_chunked = classes > WHOLE
        self.y, self.x = (
            runs(n, m, request.align_corners, logits.device)
            for n, m in zip((height, width), request.size)
        )
        # at most so many pixels and so many rows for a thread
        pixels, most = (256, 16) if self.is_chunked else (80, 8)
        rows = pixels * height * width // prod(request.size)
        self.rows = min(max(rows, 1), most, height + 1)
        self.strips = triton.cdiv(height + 1, self.rows)
        self.quads = self.strips * (width + 1)
        block_c = 8 if self.is_chunked else triton.next_power_of_2(classes)
        self.chunks = triton.cdiv(classes, block_c)
        self.block_q = 32 if block_c <= 8 else 16 if classes <= 21 else 8
        self.shared = dict(
            logits=logits,
            label=packed(target.label),
            weight=packed(request.weight),
            share_y=self.y.share,
            first_x=self.x.first,
            share_x=self.x.share,
            height=height,
            width=width,
            label_height=request.size[0],
            label_width=request.size[1],
            ignore_index=target.ignore_index,
            ENTROPY=request.with_cross_entropy,
            CLASSES=classes,
            **named_strides('logits', logits.stride()),
        )
        self.tile = dict(
            first_y=self.y.first,
            rows=self.rows,
            BLOCK_C=block_c,
            BLOCK_Q=self.block_q,
            num_warps=1,
            **self.shared,
        )

    def _new(self, *shape: int) -> Tensor:
        return self.logits.new_empty(shape, dtype=torch.float32)

    def normalize(self, slopes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the normalizer of each pixel, and a second tensor.

        That is the mixture of each pixel if there are slopes, and else the
        sums of each tile, (N, T, 3).
        """
        block_q, longest = 128, self.x.longest
        block_s = min(4, triton.next_power_of_2(longest))
        parts = triton.cdiv(longest, block_s)
        height, width = self.request.size
        tiles = triton.cdiv(
            height * (self.logits.shape[3] + 1) * parts, block_q
        )
        normalizer = self._new(self.images, height, width)
        if slopes is None:
            second = self._new(self.images, tiles, 3)
            given = dict(
                sums=second,
                mixture=None,
                class_weight=class_weight(self.request),
                slopes=None,
                slopes_n=0,
                PRODUCT=False,
            )
        else:
            second = torch.empty_like(normalizer)
            given = dict(sums=None, mixture=second, class_weight=None)
            given.update(slope_arguments(slopes))
        normalizer_kernel[(tiles, self.images)](
            normalizer=normalizer,
            quad_y=self.y.quad,
            PARTS=parts,
            BLOCK_S=block_s,
            BLOCK_C=8,
            BLOCK_Q=block_q,
            num_warps=4,
            **given,
            **self.shared,
        )
        return normalizer, second

    def sums(self, normalizer: Tensor | None) -> Tensor:
        """Compute the sums (N, 3 C), or (N, 3 C + 3) if nothing is chunked."""
        tiles = triton.cdiv(self.quads, self.block_q)
        width = 3 * self.logits.shape[1] + (0 if self.is_chunked else 3)
        partial = self._new(self.images, tiles, width)
        sums_kernel[(tiles * self.chunks, self.images)](
            class_weight=(
                None if self.is_chunked else class_weight(self.request)
            ),
            normalizer=normalizer,
            sums=partial,
            **self.tile,
        )
        return partial.sum(1, dtype=torch.float64)

    def gradient(self, slopes: Tensor) -> Tensor:
        """Compute the gradient of the logits."""
        normalizer = mixture = None
        if self.is_chunked:
            normalizer, mixture = self.normalize(slopes)
        grad = torch.empty_like(self.logits)
        seams = self._new(
            2, *grad.shape[:2], self.strips, self.logits.shape[3]
        )
        tiles = triton.cdiv(self.quads, self.block_q - 1)
        gradient_kernel[(tiles * self.chunks, self.images)](
            normalizer=normalizer,
            mixture=mixture,
            grad=grad,
            seams=seams,
            maxnreg=168 if self.block_q == 32 else None,
            **named_strides('grad', grad.stride()),
            **slope_arguments(slopes),
            **self.tile,
        )
        if self.strips > 1:
            upper, lower = seams[..., 1:, :]
            torch.add(upper, lower, out=grad[:, :, self.rows - 1 :: self.rows])
        return grad
