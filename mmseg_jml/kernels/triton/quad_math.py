"""Helpers of the kernels for upsampled logits: quads and their pixels."""

# mypy: ignore-errors
# Triton compiles these functions: its types are no annotations.
import triton
import triton.language as tl

from . import loads

LOG2E = tl.constexpr(1.4426950408889634)
_LN2 = tl.constexpr(0.6931471805599453)


# fmt: off
@triton.jit
def run(first, quad, inside):
    """Load the first pixel of a quad along an axis, and of the next quad."""
    start = tl.load(first + quad, mask=inside, other=0)
    return start, tl.load(first + quad + 1, mask=inside, other=0)


@triton.jit
def columns(first_x, column, width, logits_col, inside):
    """Find the offsets of a quad's left and right corners, and its pixels."""
    left = tl.maximum(column - 1, 0) * logits_col
    right = tl.minimum(column, width - 1) * logits_col
    start, stop = run(first_x, column, inside)
    return left, right, start, stop


@triton.jit
def row_corners(base, channel, row, height, logits_row, left, right, mask):
    """Load the logits of a row at the left and the right of quads.

    ``channel`` is the offset of a class. Beyond the first and the last row,
    that row stands.
    """
    row = tl.minimum(tl.maximum(row, 0), height - 1)
    at = channel + row * logits_row
    first = at + left
    second = at + right
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
def row_of_quads(base, channel, row, height, logits_row, left, right, v, mask):
    """Load the corners of quads, and apply :func:`row_between`."""
    upper_left, upper_right = row_corners(
        base, channel, row - 1, height, logits_row, left, right, mask)
    lower_left, lower_right = row_corners(
        base, channel, row, height, logits_row, left, right, mask)
    return row_between(upper_left, upper_right, lower_left, lower_right, v)


@triton.jit
def row_between(upper_left, upper_right, lower_left, lower_right, v):
    """Interpolate a row of a quad: its logit at the left, and right - left.

    The multiplications and additions that end in a logit are fused by hand,
    so that the logit of the own class has the same bits wherever it is taken.
    """
    left = tl.fma(v, lower_left - upper_left, upper_left)
    right = tl.fma(v, lower_right - upper_right, upper_right)
    return left, right - left


@triton.jit
def pixels_at(
        label, weight, share_x, image, y, x, inside, label_height,
        label_width, ignore_index, CLASSES: tl.constexpr):
    """Load pixels: offsets in the label, shares u, classes and weights."""
    u = tl.load(share_x + x, mask=inside, other=0)
    at = (image * label_height + y) * label_width + x
    t, w = loads.target(label, weight, at, inside, ignore_index, CLASSES)
    return at, u, t, w


@triton.jit
def of_own(value, is_own):
    """Pick the value of each pixel's own class; 0 where there is none."""
    return tl.sum(tl.where(is_own, value, 0.0), axis=0, keep_dims=True)


@triton.jit
def softmax(z, known):
    """Return exp(z - max z), max z, max z / log 2, and the sum of the first.

    Maximum and sum are over classes.
    """
    top = tl.max(tl.where(known, z, float('-inf')), axis=0, keep_dims=True)
    shift = top * LOG2E
    e = tl.where(known, tl.exp2(tl.fma(z, LOG2E, -shift)), 0.0)
    return e, top, shift, tl.sum(e, axis=0, keep_dims=True)


@triton.jit
def exp(z, shift):
    """Return the exponential of z, divided by 2^shift."""
    return tl.exp2(tl.fma(z, LOG2E, -shift))


@triton.jit
def probability(z, normalizer, pixel):
    """Return w p, which is 0 where a pixel does not count."""
    return exp(z, tl.load(normalizer, mask=pixel, other=float('inf')))


@triton.jit
def cost_of(top, shift, total, own):
    """Return -log p of the own class, with the rounding of shift put back."""
    rounded = tl.fma(top, LOG2E, -shift)
    return (top - own) + _LN2 * (tl.log2(total) - rounded)


@triton.jit
def slope_of_overlap(slopes, classes, PRODUCT: tl.constexpr,
                     CLASSES: tl.constexpr):
    """Load the slope by T plus that by the product, which equals T here."""
    value = loads.slope(slopes, 2, classes, True, CLASSES)
    if PRODUCT:
        value += loads.slope(slopes, 3, classes, True, CLASSES)
    return value


@triton.jit
def add(total, value, factor, known):
    """Add a product; padding stays 0, so that the compiler leaves it out."""
    return tl.where(known, tl.fma(value, factor, total), 0.0)


@triton.jit
def from_neighbour(value):
    """Give each thread the value of the thread to its left."""
    lanes = tl.arange(0, value.shape[1])[None, :]
    before = tl.maximum(lanes - 1, 0)
    return tl.gather(value, tl.broadcast_to(before, value.shape), axis=1)


@triton.jit
def store_sums(out, value, classes, CLASSES: tl.constexpr):
    """Sum over the quads of a tile, and store."""
    tl.store(out + classes, tl.sum(value, axis=1, keep_dims=True),
             mask=classes < CLASSES)
