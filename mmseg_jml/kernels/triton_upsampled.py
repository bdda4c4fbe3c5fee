"""Region sums on a GPU of logits at the head's resolution, for hard labels.

The logits (N, C, h, w) are upsampled to the label (N, H, W) in registers, as
``F.interpolate(mode='bilinear')`` does it; logits of full size never exist.
An axis of n inputs maps its output d to the source coordinate s(d), which
lies between the inputs i = floor(s) and i + 1, with the share s - i of the
latter; beyond the first and the last input, that input stands for both. A
*quad* is one pair of such intervals: its pixels are a run in each axis and
depend on the same four corners. There are (h + 1) x (w + 1) quads, those at
the rim with fewer pixels. A quad's pixels are interpolated by rows,

    left = upper left + v (lower left - upper left)    right likewise
    z = left + u (right - left)

with the shares v of a row and u of a column. From the logits z of a pixel
follow, with label y, weight w, class weights k and p = softmax(z),

    P_c = sum w p_c    Y_c = sum w [c = y]    T_c = sum w p_c [c = y]
    L = sum w k_y log p_y    mass = sum w k_y    hits = sum w [z_y >= z]

and from the slopes A by P, B by T and e by L times k, the gradient

    dz_c = w p_c (A_c + K) + w [c = y] (B_y p_y + e_y)
    K = -e_y - S    S = sum_c p_c A_c + p_y B_y

which goes to the four corners by the shares: with D = sum dz and R = sum u dz
over a row of pixels, R goes to the right, D - R to the left, and v of both
to the lower corners.

Two forms. *Whole*: a thread has a quad and all its classes, or its half or
quarter of them where more than 8 or 21 would not fit into registers, and the
softmax is taken on the spot; for few classes. *Chunked*:
``normalizer_kernel`` writes the log-sum-exp of each pixel, by a running
maximum over chunks of classes, and for the gradient K; then a thread has a
quad and one chunk of 8 classes, and p = exp(z - log-sum-exp) needs no other
class. What is held is one or two floats a pixel, little beside many classes.

Quads are dealt out in *strips*, some quad rows below each other, and a tile
of neighbours in them to a warp. A thread goes down its strip and carries the
gradient of the lower corners into the next row; its neighbour hands it the
gradient of the right corners. Tiles overlap by one quad, which is computed
twice. Where two strips meet, both write their part of a row of the gradient
in float32 to ``seams``, and their sum ends in the gradient. So there are no
atomics, the bits are always the same, and partial gradients take little
memory.

What was timed on a GPU (an H100) are simpler predecessors: tiles of 128
quads of one row by 4 warps, whole; and 8 classes by 16 quads with a thread
for each pixel, chunked; with four partial gradients a quad. These kernels
here have been compiled and interpreted, not yet timed: strips, tiles of one
warp, classes shared by threads, and the quads of the chunked form.
"""

from __future__ import annotations

import functools
from math import prod
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .bands import axis
from .request import RegionSums, Request

__all__ = ['gradient', 'runs', 'serves', 'sums']

_LOG2E = tl.constexpr(1.4426950408889634)
_LN2 = tl.constexpr(0.6931471805599453)

# The formatter would give each of thirty arguments a line.
# fmt: off
_SIZES = [
    'height', 'width', 'label_height', 'label_width', 'rows', 'logits_n',
    'logits_c', 'logits_row', 'grad_n', 'grad_c', 'grad_row', 'slopes_n']


@triton.jit(do_not_specialize=_SIZES)
def normalizer_kernel(
        logits, label, weight, class_weight, slopes, normalizer, mixture,
        sums, quad_y, share_y, first_x, share_x,
        height, width, label_height, label_width,
        logits_n, logits_c, logits_row, logits_col, slopes_n, ignore_index,
        ENTROPY: tl.constexpr, PRODUCT: tl.constexpr, CLASSES: tl.constexpr,
        PARTS: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_C: tl.constexpr,
        BLOCK_Q: tl.constexpr):
    """Writes what the chunks of classes need to know of each pixel.

    A thread has up to BLOCK_S pixels of a row of a quad. ``normalizer`` is
    (log sum exp z) / log 2 - log2 w, so that 2^(z / log 2 - normalizer) is
    w p; infinite for pixels that do not count. Where there are slopes, also
    K in ``mixture``; else L, the mass and the hits of the tile go to a row of
    ``sums``.
    """
    image = tl.program_id(1).to(tl.int64)
    items = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)[None, None, :]
    column = items // PARTS % (width + 1)
    y = items // PARTS // (width + 1)
    inside = y < label_height
    x, stop = _run(first_x, column, inside)
    x += items % PARTS * BLOCK_S + tl.arange(0, BLOCK_S)[:, None, None]
    pixel = inside & (x < stop)
    at = (image * label_height + y) * label_width + x
    t, w = _target(label + at, weight, at, pixel, ignore_index, CLASSES)
    v = tl.load(share_y + y, mask=inside, other=0)
    u = tl.load(share_x + x, mask=pixel, other=0)
    row = tl.load(quad_y + y, mask=inside, other=0)
    base = logits + image * logits_n
    if slopes is not None:
        slopes += image * slopes_n
    upper = tl.maximum(row - 1, 0) * logits_row
    lower = tl.minimum(row, height - 1) * logits_row
    left = tl.maximum(column - 1, 0) * logits_col
    right = tl.minimum(column, width - 1) * logits_col
    top = tl.full((BLOCK_S, 1, BLOCK_Q), float('-inf'), tl.float32)
    shift = top
    total = tl.zeros((BLOCK_S, 1, BLOCK_Q), tl.float32)
    mixed = tl.zeros((BLOCK_S, 1, BLOCK_Q), tl.float32)
    for start in range(0, CLASSES, BLOCK_C):
        classes = start + tl.arange(0, BLOCK_C)[None, :, None]
        known = classes < CLASSES
        begin, span = _row(base, classes * logits_c, upper, lower, left,
                           right, v, inside & known)
        z = tl.fma(u, span, tl.where(known, begin, float('-inf')))
        top = tl.maximum(top, tl.max(z, axis=1, keep_dims=True))
        ahead = top * _LOG2E
        e = tl.exp2(tl.fma(z, _LOG2E, -ahead))
        faded = tl.exp2(shift - ahead)
        total = total * faded + tl.sum(e, axis=1, keep_dims=True)
        if slopes is not None:
            a = _slope_of_p(slopes, classes, CLASSES)
            mixed = mixed * faded + tl.sum(e * a, axis=1, keep_dims=True)
        shift = ahead
    own = _own(base, t, logits_c, upper, lower, left, right, v, u)
    value = shift + tl.log2(total)
    counted = w > 0
    folded = value - tl.log2(tl.where(counted, w, 1.0))
    tl.store(normalizer + at, tl.where(counted, folded, float('inf')),
             mask=pixel)
    if slopes is not None:
        b = _slope_of_t(slopes, t, PRODUCT, CLASSES)
        k = -mixed / total - b * tl.exp2(tl.fma(own, _LOG2E, -value))
        k -= _slope_of_l(slopes, t, ENTROPY, CLASSES)
        tl.store(mixture + at, tl.where(counted, k, 0.0), mask=pixel)
    else:
        scale = _at(class_weight, t, counted) * counted
        row_of_sums = sums + 3 * (
            image * tl.num_programs(0) + tl.program_id(0))
        cost = _cost(top, shift, total, own)
        _store_pixel_sums(row_of_sums, cost, w, scale, own >= top, counted,
                          ENTROPY)


@triton.jit(do_not_specialize=_SIZES)
def sums_kernel(
        logits, label, weight, class_weight, normalizer, sums,
        first_y, share_y, first_x, share_x,
        height, width, label_height, label_width, rows,
        logits_n, logits_c, logits_row, logits_col, ignore_index,
        ENTROPY: tl.constexpr, CLASSES: tl.constexpr, BLOCK_C: tl.constexpr,
        BLOCK_Q: tl.constexpr):
    """Writes P, Y and T of a chunk of classes to a row of ``sums``.

    Without a ``normalizer`` the chunk has all classes, and L, the mass and
    the hits follow.
    """
    image = tl.program_id(1).to(tl.int64)
    chunks = tl.cdiv(CLASSES, BLOCK_C)
    tile = tl.program_id(0) // chunks
    classes = tl.program_id(0) % chunks * BLOCK_C + \
        tl.arange(0, BLOCK_C)[:, None]
    known = classes < CLASSES
    quads = tile * BLOCK_Q + tl.arange(0, BLOCK_Q)[None, :]
    strip, column = quads // (width + 1), quads % (width + 1)
    base = logits + image * logits_n
    left = tl.maximum(column - 1, 0) * logits_col
    right = tl.minimum(column, width - 1) * logits_col
    present = strip * rows <= height
    x_first, x_stop = _run(first_x, column, present)
    longest = tl.max(x_stop - x_first)
    upper = tl.maximum(strip * rows - 1, 0) * logits_row
    upper_left, upper_right = _corners(
        base, classes * logits_c + upper, left, right, known & present)
    prediction = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
    target = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
    overlap = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
    entropy = tl.zeros((1, BLOCK_Q), tl.float32)
    mass = tl.zeros((1, BLOCK_Q), tl.float32)
    hits = tl.zeros((1, BLOCK_Q), tl.float32)
    for step in range(rows):
        row = strip * rows + step
        inside = row <= height
        lower = tl.minimum(row, height - 1) * logits_row
        lower_left, lower_right = _corners(
            base, classes * logits_c + lower, left, right, known & inside)
        y_first, y_stop = _run(first_y, row, inside)
        for dy in range(tl.max(y_stop - y_first)):
            y = y_first + dy
            v = tl.load(share_y + y, mask=y < y_stop, other=0)
            begin, span = _between(upper_left, upper_right, lower_left,
                                   lower_right, v)
            for dx in range(longest):
                x = x_first + dx
                pixel = (y < y_stop) & (x < x_stop)
                u = tl.load(share_x + x, mask=pixel, other=0)
                at = (image * label_height + y) * label_width + x
                t, w = _target(label + at, weight, at, pixel, ignore_index,
                               CLASSES)
                z = tl.fma(u, span, begin)
                is_own = known & (t == classes)
                if normalizer is None:
                    p, top, shift, total = _softmax(z, known)
                    p = tl.where(known, p * (w / total), 0.0)
                    own = _of_own(z, is_own)
                    counted = w > 0
                    scale = w * _at(class_weight, t, counted)
                    if ENTROPY:
                        cost = _cost(top, shift, total, own)
                        entropy += tl.where(counted, scale * cost, 0.0)
                    mass += tl.where(counted, scale, 0.0)
                    hits += tl.where(own >= top, w, 0.0)
                else:
                    p = _probability(z, normalizer + at, pixel)
                prediction += p
                target = tl.where(is_own, target + w, target)
                overlap = tl.where(is_own, overlap + p, overlap)
        upper = lower
        upper_left, upper_right = lower_left, lower_right
    tiles = tl.num_programs(0) // chunks
    whole = 3 * CLASSES + (3 if normalizer is None else 0)
    out = sums + (image * tiles + tile) * whole
    _store_class_sums(out, prediction, classes, CLASSES)
    _store_class_sums(out + CLASSES, target, classes, CLASSES)
    _store_class_sums(out + 2 * CLASSES, overlap, classes, CLASSES)
    if normalizer is None:
        out += 3 * CLASSES
        tl.store(out, 0.0 - tl.sum(entropy))
        tl.store(out + 1, tl.sum(mass))
        tl.store(out + 2, tl.sum(hits))


@triton.jit(do_not_specialize=_SIZES)
def gradient_kernel(
        logits, label, weight, slopes, normalizer, mixture, grad, seams,
        first_y, share_y, first_x, share_x,
        height, width, label_height, label_width, rows,
        logits_n, logits_c, logits_row, logits_col,
        grad_n, grad_c, grad_row, grad_col, slopes_n, ignore_index,
        ENTROPY: tl.constexpr, PRODUCT: tl.constexpr, CLASSES: tl.constexpr,
        BLOCK_C: tl.constexpr, BLOCK_Q: tl.constexpr):
    """Writes the gradient by the logits of a chunk of classes.

    Rows of the gradient inside a strip go to ``grad``, its first and its
    last row to ``seams``, (2, N, C, strips, w): as the lower part of the
    seam above it, and as the upper part of the one below.
    """
    image = tl.program_id(1).to(tl.int64)
    chunks = tl.cdiv(CLASSES, BLOCK_C)
    tile = tl.program_id(0) // chunks
    classes = tl.program_id(0) % chunks * BLOCK_C + \
        tl.arange(0, BLOCK_C)[:, None]
    known = classes < CLASSES
    lane = tl.arange(0, BLOCK_Q)[None, :]
    # the first quad of a tile is the last of the one before
    quads = tile * (BLOCK_Q - 1) + lane - 1
    present = quads >= 0
    quads = tl.maximum(quads, 0)
    strip, column = quads // (width + 1), quads % (width + 1)
    strips = tl.cdiv(height + 1, rows)
    present &= strip < strips
    base = logits + image * logits_n
    left = tl.maximum(column - 1, 0) * logits_col
    right = tl.minimum(column, width - 1) * logits_col
    x_first, x_stop = _run(first_x, column, present)
    longest = tl.max(x_stop - x_first)
    upper = tl.maximum(strip * rows - 1, 0) * logits_row
    upper_left, upper_right = _corners(
        base, classes * logits_c + upper, left, right, known & present)
    out = grad + image * grad_n
    seam = seams + image * CLASSES * strips * width
    owned = known & present & (lane > 0) & (column > 0)
    # padding does no harm in a chunk, and is to be left out of a whole
    kept = tl.full((BLOCK_C, 1), True, tl.int1)
    if normalizer is None:
        kept = known
    slopes += image * slopes_n
    a = _slope_of_p(slopes, classes, CLASSES)
    if normalizer is not None:
        b = _slope_of_t(slopes, classes, PRODUCT, CLASSES)
        pull = _slope_of_l(slopes, classes, ENTROPY, CLASSES)
    at_left = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
    at_right = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
    for step in range(rows):
        row = strip * rows + step
        inside = present & (row <= height)
        lower = tl.minimum(row, height - 1) * logits_row
        lower_left, lower_right = _corners(
            base, classes * logits_c + lower, left, right, known & inside)
        y_first, y_stop = _run(first_y, row, inside)
        below_left = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
        below_right = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
        for dy in range(tl.max(y_stop - y_first)):
            y = y_first + dy
            v = tl.load(share_y + y, mask=y < y_stop, other=0)
            begin, span = _between(upper_left, upper_right, lower_left,
                                   lower_right, v)
            row_sum = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
            row_right = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
            for dx in range(longest):
                x = x_first + dx
                pixel = (y < y_stop) & (x < x_stop)
                u = tl.load(share_x + x, mask=pixel, other=0)
                at = (image * label_height + y) * label_width + x
                t, w = _target(label + at, weight, at, pixel, ignore_index,
                               CLASSES)
                z = tl.fma(u, span, begin)
                is_own = kept & (t == classes)
                if normalizer is None:
                    p, _, _, total = _softmax(z, known)
                    part = 1 / total
                    gain = part * _of_own(p, is_own) * _slope_of_t(
                        slopes, t, PRODUCT, CLASSES)
                    gain += _slope_of_l(slopes, t, ENTROPY, CLASSES)
                    k = -gain - part * tl.sum(p * a, axis=0, keep_dims=True)
                    p *= w * part
                    gain *= w
                else:
                    p = _probability(z, normalizer + at, pixel)
                    k = tl.load(mixture + at, mask=pixel, other=0)
                    gain = tl.fma(b, p, w * pull)
                dz = tl.fma(p, a + k, tl.where(is_own, gain, 0.0))
                row_sum = _add(row_sum, dz, 1.0, kept)
                row_right = _add(row_right, dz, u, kept)
            row_left = row_sum - row_right
            below_left = _add(below_left, row_left, v, kept)
            below_right = _add(below_right, row_right, v, kept)
            at_left = _add(at_left, row_left, 1 - v, kept)
            at_right = _add(at_right, row_right, 1 - v, kept)
        value = at_left + _from_neighbour(at_right)
        if step == 0:
            place = (classes * strips + strip) * width + (column - 1)
            place = tl.max_contiguous(place, (1, BLOCK_Q))  # as in _corners
            tl.store(seam + place, value, mask=owned)
        else:
            place = (row - 1) * grad_row + (column - 1) * grad_col
            place = classes * grad_c + place
            place = tl.max_contiguous(place, (1, BLOCK_Q))
            tl.store(out + place, value.to(grad.dtype.element_ty),
                     mask=owned & inside)
        at_left, at_right = below_left, below_right
        upper = lower
        upper_left, upper_right = lower_left, lower_right
    value = at_left + _from_neighbour(at_right)
    images = tl.num_programs(1).to(tl.int64)
    seam += images * CLASSES * strips * width
    place = (classes * strips + strip + 1) * width + (column - 1)
    place = tl.max_contiguous(place, (1, BLOCK_Q))
    tl.store(seam + place, value, mask=owned & (strip + 1 < strips))


@triton.jit
def _run(first, quad, inside):
    """First pixel of a quad along an axis, and the first of the next."""
    start = tl.load(first + quad, mask=inside, other=0)
    return start, tl.load(first + quad + 1, mask=inside, other=0)


@triton.jit
def _corners(base, row, left, right, mask):
    """Logits of a row at the left and at the right of quads, in float32."""
    first = row + left
    second = row + right
    # A hint to put threads along the quads, which older compilers need. That
    # neighbours follow each other is not quite true at the end of a row, but
    # cannot widen a load: it does not say what they are divisible by.
    if len(first.shape) == 2:
        first = tl.max_contiguous(first, (1, first.shape[1]))
        second = tl.max_contiguous(second, (1, second.shape[1]))
    else:
        first = tl.max_contiguous(first, (1, 1, first.shape[2]))
        second = tl.max_contiguous(second, (1, 1, second.shape[2]))
    first = tl.load(base + first, mask=mask, other=0)
    second = tl.load(base + second, mask=mask, other=0)
    return first.to(tl.float32), second.to(tl.float32)


@triton.jit
def _between(upper_left, upper_right, lower_left, lower_right, v):
    """A row of a quad: its logit at the left corners, and right - left.

    The multiplications and additions that end in a logit are fused by hand:
    so _own finds the very bits that another place finds.
    """
    left = tl.fma(v, lower_left - upper_left, upper_left)
    right = tl.fma(v, lower_right - upper_right, upper_right)
    return left, right - left


@triton.jit
def _row(base, at, upper, lower, left, right, v, mask):
    """The same, from the addresses of the corners."""
    upper_left, upper_right = _corners(base, at + upper, left, right, mask)
    lower_left, lower_right = _corners(base, at + lower, left, right, mask)
    return _between(upper_left, upper_right, lower_left, lower_right, v)


@triton.jit
def _of_own(value, is_own):
    """The value of each pixel's own class, 0 where there is none."""
    return tl.sum(tl.where(is_own, value, 0.0), axis=0, keep_dims=True)


@triton.jit
def _own(base, t, logits_c, upper, lower, left, right, v, u):
    """The logit of each pixel's own class; t is -1 where there is none."""
    begin, span = _row(base, tl.maximum(t, 0) * logits_c, upper, lower, left,
                       right, v, t >= 0)
    return tl.fma(u, span, begin)


@triton.jit
def _target(label, weight, at, pixel, ignore_index, CLASSES: tl.constexpr):
    """Labels and weights of pixels, -1 and 0 where they do not count."""
    t = tl.load(label, mask=pixel, other=0).to(tl.int64)
    counted = pixel & (t >= 0) & (t < CLASSES)
    if ignore_index is not None:
        counted &= t != ignore_index
    t = tl.where(counted, t, -1).to(tl.int32)
    w = counted.to(tl.float32)
    if weight is not None:
        w = tl.load(weight + at, mask=counted, other=0).to(tl.float32)
    return t, w


@triton.jit
def _softmax(z, known):
    """exp(z - max z), the maximum, it / log 2, and the sum over classes."""
    top = tl.max(tl.where(known, z, float('-inf')), axis=0, keep_dims=True)
    shift = top * _LOG2E
    e = tl.where(known, tl.exp2(tl.fma(z, _LOG2E, -shift)), 0.0)
    return e, top, shift, tl.sum(e, axis=0, keep_dims=True)


@triton.jit
def _probability(z, normalizer, pixel):
    """The product w p, 0 where a pixel does not count."""
    shift = tl.load(normalizer, mask=pixel, other=float('inf'))
    return tl.exp2(tl.fma(z, _LOG2E, -shift))


@triton.jit
def _cost(top, shift, total, own):
    """-log p of the own class; what rounding took from shift is put back."""
    rounded = tl.fma(top, _LOG2E, -shift)
    return (top - own) + _LN2 * (tl.log2(total) - rounded)


@triton.jit
def _at(class_weight, classes, mask):
    """Class weights, or ones."""
    if class_weight is None:
        value = tl.full(classes.shape, 1.0, tl.float32)
    else:
        value = tl.load(class_weight + classes, mask=mask, other=0)
    return value.to(tl.float32)


@triton.jit
def _slope_of_p(slopes, classes, CLASSES: tl.constexpr):
    """Slopes by P; 0 where there is no such class."""
    mask = (classes >= 0) & (classes < CLASSES)
    return tl.load(slopes + classes, mask=mask, other=0).to(tl.float32)


@triton.jit
def _slope_of_l(slopes, classes, ENTROPY: tl.constexpr,
                CLASSES: tl.constexpr):
    """Slopes by the log-likelihood, times class weights."""
    value = tl.zeros(classes.shape, tl.float32)
    if ENTROPY:
        value += _slope_of_p(slopes + CLASSES, classes, CLASSES)
    return value


@triton.jit
def _slope_of_t(slopes, classes, PRODUCT: tl.constexpr,
                CLASSES: tl.constexpr):
    """Slopes by T, and by the product, which equals it."""
    value = _slope_of_p(slopes + 2 * CLASSES, classes, CLASSES)
    if PRODUCT:
        value += _slope_of_p(slopes + 3 * CLASSES, classes, CLASSES)
    return value


@triton.jit
def _add(total, value, factor, known):
    """Adds a product; padding stays 0, so that a compiler can leave it out."""
    return tl.where(known, tl.fma(value, factor, total), 0.0)


@triton.jit
def _from_neighbour(value):
    """Each thread's value from the thread to its left."""
    lanes = tl.arange(0, value.shape[1])[None, :]
    before = tl.maximum(lanes - 1, 0)
    return tl.gather(value, tl.broadcast_to(before, value.shape), axis=1)


@triton.jit
def _store_class_sums(out, value, classes, CLASSES: tl.constexpr):
    """Sums over the quads of a tile."""
    tl.store(out + classes, tl.sum(value, axis=1, keep_dims=True),
             mask=classes < CLASSES)


@triton.jit
def _store_pixel_sums(out, cost, w, scale, hit, counted,
                      ENTROPY: tl.constexpr):
    """L, the mass and the hits of a tile of pixels."""
    entropy = tl.where(counted, w * scale * cost, 0.0)
    tl.store(out, 0.0 - tl.sum(entropy) if ENTROPY else 0.0)
    tl.store(out + 1, tl.sum(w * scale))
    tl.store(out + 2, tl.sum(tl.where(hit & counted, w, 0.0)))


# fmt: on
WHOLE = 32  # the most classes that are not chunked


class Runs(NamedTuple):
    """How an axis is upsampled: :func:`bands.axis`, as the kernels read it.

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
    """The table of an axis. It is made on the CPU, so no one waits for it.

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
    tables = table.first.int(), table.interval.int(), share.float()
    return Runs(*(t.to(device) for t in tables), table.share.shape[1])


def serves(request: Request) -> bool:
    """Whether the kernels here know a request of small logits.

    What is asked of any request for Triton (its device, the dtype) is for
    ``triton_engine`` to look at. ``tl.gather`` came after Triton 3.2.
    """
    logits, size = request.logits, request.size
    known = request.is_hard and request.norm == 1 and not request.use_sigmoid
    if not known or request.largest_of is not None or logits.ndim != 4:
        return False
    steps = zip(logits.shape[1:], logits.stride()[1:])
    span = sum((count - 1) * stride for count, stride in steps)
    span = max(span, prod(logits.shape[1:]), prod(size))
    return hasattr(tl, 'gather') and span < 2**30


def sums(request: Request) -> RegionSums:
    """Region sums of hard labels and logits at the head's resolution."""
    if _is_empty(request):
        return RegionSums.zeros(request)
    launch = _Launch(request)
    classes = launch.classes
    normalizer = None
    with torch.cuda.device_of(request.logits):
        if launch.is_chunked:
            normalizer, pixel_sums = launch.normalize()
        partial = launch.partial_sums(normalizer)
    total = partial.sum(1, dtype=torch.float64)
    if not launch.is_chunked:
        total, pixel_sums = total[:, : 3 * classes], total[:, 3 * classes :]
    by_class = total.unflatten(1, (3, classes))
    if request.with_product:  # equal to the overlap
        by_class = torch.cat([by_class, by_class[:, 2:]], 1)
    hits = pixel_sums[:, 2] if request.with_hits else None
    return RegionSums(by_class, pixel_sums[:, :2], None, hits)


def gradient(request: Request, slopes: Tensor) -> Tensor:
    """Gradient of a loss by logits at the head's resolution.

    Args:
        request (Request): As for :func:`sums`.
        slopes (Tensor): (N or 1, 3 or 4, C), contiguous, as in
            :class:`mmseg_jml.kernels.Reduction`.

    Returns:
        Tensor: Shaped, typed and laid out like the logits.
    """
    if _is_empty(request):
        return torch.zeros_like(request.logits)
    with torch.cuda.device_of(request.logits):
        return _Launch(request).gradient(slopes)


def _is_empty(request: Request) -> bool:
    return not (request.logits.numel() and request.target.label.numel())


class _Launch:
    """Arguments of the kernels for a request, and their launches."""

    def __init__(self, request: Request) -> None:
        logits = request.logits.detach()
        images, classes, height, width = logits.shape
        size = request.size
        self.request, self.logits, self.classes = request, logits, classes
        self.images = images
        self.is_chunked = classes > WHOLE
        self.y, self.x = (
            runs(n, m, request.align_corners, logits.device)
            for n, m in zip((height, width), size)
        )
        # a thread goes through so many pixels, or so many rows, at most
        pixels, most = (256, 16) if self.is_chunked else (80, 8)
        rows = pixels * height * width // size.numel()
        self.rows = min(max(rows, 1), most, height + 1)
        self.strips = triton.cdiv(height + 1, self.rows)
        self.quads = self.strips * (width + 1)
        block_c = 8 if self.is_chunked else triton.next_power_of_2(classes)
        self.chunks = triton.cdiv(classes, block_c)
        weight = request.weight
        self.shared = dict(
            logits=logits,
            label=request.target.label.contiguous(),
            weight=None if weight is None else weight.contiguous(),
            share_y=self.y.share,
            first_x=self.x.first,
            share_x=self.x.share,
            height=height,
            width=width,
            label_height=size[0],
            label_width=size[1],
            ignore_index=request.target.ignore_index,
            ENTROPY=request.with_cross_entropy,
            CLASSES=classes,
            **_named(logits, 'logits'),
        )
        self.strip = dict(
            first_y=self.y.first,
            rows=self.rows,
            BLOCK_C=block_c,
            BLOCK_Q=32 if block_c <= 8 else 16 if classes <= 21 else 8,
            num_warps=1,
        )

    def new(self, *shape: int) -> Tensor:
        return self.logits.new_empty(shape, dtype=torch.float32)

    def class_weight(self) -> Tensor | None:
        value = self.request.class_weight
        if value is None:
            return None
        return value.to(self.logits.device).contiguous()

    def slopes(self, slopes: Tensor) -> dict:
        shared = len(slopes) == 1
        step = 0 if shared else slopes[0].numel()
        return dict(slopes=slopes, slopes_n=step, PRODUCT=slopes.shape[1] > 3)

    def normalize(self, slopes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The normalizer of each pixel, with sums (N, 3) or the mixture."""
        block_q, longest = 128, self.x.longest
        block_s = min(4, triton.next_power_of_2(longest))
        parts = triton.cdiv(longest, block_s)
        pixels = self.images, *self.request.size
        width = self.logits.shape[3]
        tiles = triton.cdiv(pixels[1] * (width + 1) * parts, block_q)
        normalizer = self.new(*pixels)
        if slopes is None:
            mixture, partial = None, self.new(self.images, tiles, 3)
            given = dict(slopes=None, slopes_n=0, PRODUCT=False)
            given['class_weight'] = self.class_weight()
        else:
            mixture, partial = self.new(*pixels), None
            given = dict(class_weight=None, **self.slopes(slopes))
        normalizer_kernel[(tiles, self.images)](
            normalizer=normalizer,
            mixture=mixture,
            sums=partial,
            quad_y=self.y.quad,
            PARTS=parts,
            BLOCK_S=block_s,
            BLOCK_C=8,
            BLOCK_Q=block_q,
            num_warps=4,
            **given,
            **self.shared,
        )
        if slopes is None:
            mixture = partial.sum(1, dtype=torch.float64)
        return normalizer, mixture

    def partial_sums(self, normalizer: Tensor | None) -> Tensor:
        """(N, tiles, 3 C), or 3 C + 3 where nothing is chunked."""
        tiles = triton.cdiv(self.quads, self.strip['BLOCK_Q'])
        columns = 3 * self.classes + (0 if self.is_chunked else 3)
        partial = self.new(self.images, tiles, columns)
        sums_kernel[(tiles * self.chunks, self.images)](
            class_weight=None if self.is_chunked else self.class_weight(),
            normalizer=normalizer,
            sums=partial,
            **self.shared,
            **self.strip,
        )
        return partial

    def gradient(self, slopes: Tensor) -> Tensor:
        normalizer = mixture = None
        if self.is_chunked:
            normalizer, mixture = self.normalize(slopes)
        grad = torch.empty_like(self.logits)
        width = self.logits.shape[3]
        seams = self.new(2, self.images, self.classes, self.strips, width)
        tiles = triton.cdiv(self.quads, self.strip['BLOCK_Q'] - 1)
        gradient_kernel[(tiles * self.chunks, self.images)](
            normalizer=normalizer,
            mixture=mixture,
            grad=grad,
            seams=seams,
            maxnreg=168 if self.strip['BLOCK_Q'] == 32 else None,
            **_named(grad, 'grad'),
            **self.slopes(slopes),
            **self.shared,
            **self.strip,
        )
        if self.strips > 1:
            upper, lower = seams[..., 1:, :]
            torch.add(upper, lower, out=grad[:, :, self.rows - 1 :: self.rows])
        return grad


def _named(tensor: Tensor, name: str) -> dict[str, int]:
    """Strides of (N, C, h, w) as the kernels name them."""
    axes = ('n', 'c', 'row', 'col')
    return {f'{name}_{a}': s for a, s in zip(axes, tensor.stride())}
