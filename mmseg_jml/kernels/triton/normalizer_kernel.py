"""The normalizer of each pixel, for upsampled logits in chunks of classes.

The formulas stand on top of :mod:`.upsampled_kernels`.
"""

# mypy: ignore-errors
# Triton compiles these functions: its types are no annotations.
import triton
import triton.language as tl

from . import loads, quad_math

__all__ = ['normalizer_kernel']

# fmt: off
_SIZES = [
    'height', 'width', 'label_height', 'label_width', 'logits_n', 'logits_c',
    'logits_row', 'slopes_n']


@triton.jit(do_not_specialize=_SIZES)
def normalizer_kernel(
        logits, label, weight, class_weight, slopes, normalizer, mixture,
        sums, quad_y, share_y, first_x, share_x,
        height, width, label_height, label_width,
        logits_n, logits_c, logits_row, logits_col, slopes_n, ignore_index,
        ENTROPY: tl.constexpr, PRODUCT: tl.constexpr, CLASSES: tl.constexpr,
        PARTS: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_C: tl.constexpr,
        BLOCK_Q: tl.constexpr):
    """Write what the kernels of chunks need of all classes of a pixel.

    A thread has up to BLOCK_S pixels of a row of a quad. ``normalizer`` is
    (log sum exp z) / log 2 - log2 w, so that 2^(z / log 2 - normalizer) is
    w p; it is infinite for pixels that do not count. With slopes, K goes to
    ``mixture``; without, L, the mass and the hits of the tile go to a row of
    ``sums``.
    """
    image = tl.program_id(1).to(tl.int64)
    items = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)[None, None, :]
    column = items // PARTS % (width + 1)
    y = items // PARTS // (width + 1)
    inside = y < label_height
    left, right, x, stop = quad_math.columns(
        first_x, column, width, logits_col, inside)
    x += items % PARTS * BLOCK_S + tl.arange(0, BLOCK_S)[:, None, None]
    pixel = inside & (x < stop)
    at, u, t, w = quad_math.pixels_at(
        label, weight, share_x, image, y, x, pixel, label_height, label_width,
        ignore_index, CLASSES)
    v = tl.load(share_y + y, mask=inside, other=0)
    row = tl.load(quad_y + y, mask=inside, other=0)
    base = logits + image * logits_n
    if slopes is not None:
        slopes += image * slopes_n
    top = tl.full((BLOCK_S, 1, BLOCK_Q), float('-inf'), tl.float32)
    shift = top
    total = tl.zeros((BLOCK_S, 1, BLOCK_Q), tl.float32)
    mixed = tl.zeros((BLOCK_S, 1, BLOCK_Q), tl.float32)
    for start in range(0, CLASSES, BLOCK_C):
        classes = start + tl.arange(0, BLOCK_C)[None, :, None]
        known = classes < CLASSES
        begin, span = quad_math.row_of_quads(
            base, classes * logits_c, row, height, logits_row, left, right,
            v, inside & known)
        z = tl.fma(u, span, tl.where(known, begin, float('-inf')))
        top = tl.maximum(top, tl.max(z, axis=1, keep_dims=True))
        ahead = top * quad_math.LOG2E
        e = quad_math.exp(z, ahead)
        faded = tl.exp2(shift - ahead)
        total = total * faded + tl.sum(e, axis=1, keep_dims=True)
        if slopes is not None:
            a = loads.slope(slopes, 0, classes, True, CLASSES)
            mixed = mixed * faded + tl.sum(e * a, axis=1, keep_dims=True)
        shift = ahead
    begin, span = quad_math.row_of_quads(
        base, tl.maximum(t, 0) * logits_c, row, height, logits_row, left,
        right, v, t >= 0)
    own = tl.fma(u, span, begin)
    value = shift + tl.log2(total)
    counted = w > 0
    folded = value - tl.log2(tl.where(counted, w, 1.0))
    tl.store(normalizer + at, tl.where(counted, folded, float('inf')),
             mask=pixel)
    if slopes is not None:
        b = quad_math.slope_of_overlap(slopes, t, PRODUCT, CLASSES)
        k = -mixed / total - b * quad_math.exp(own, value)
        k -= loads.slope(slopes, 1, t, ENTROPY, CLASSES)
        tl.store(mixture + at, tl.where(counted, k, 0.0), mask=pixel)
    else:
        out = sums + 3 * (image * tl.num_programs(0) + tl.program_id(0))
        scale = w * loads.class_weight(class_weight, t, CLASSES)
        cost = quad_math.cost_of(top, shift, total, own)
        entropy = tl.where(counted, scale * cost, 0.0)
        tl.store(out, 0.0 - tl.sum(entropy) if ENTROPY else 0.0)
        tl.store(out + 1, tl.sum(tl.where(counted, scale, 0.0)))
        tl.store(out + 2, tl.sum(tl.where((own >= top) & counted, w, 0.0)))
