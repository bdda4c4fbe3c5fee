"""Helpers of the kernels for full-size logits: a tile, classes by pixels."""

# mypy: ignore-errors
# Triton compiles these functions: its types are no annotations.
import triton
import triton.language as tl

from . import loads


# fmt: off
@triton.jit
def offsets(pixels, width, stride_row, stride_col, FLAT: tl.constexpr,
            WIDE: tl.constexpr):
    """Compute the offsets of pixels in an image."""
    index = tl.int64 if WIDE else tl.int32
    if FLAT:
        at = pixels.to(index) * stride_col
    else:
        at = (pixels // width).to(index) * stride_row + \
            (pixels % width).to(index) * stride_col
    return at


@triton.jit
def pixels(
        target, smoothed, weight, image, pixels, num_pixels, width,
        logits_row, logits_col, target_row, target_col, ignore_index, on, off,
        KIND: tl.constexpr, FLAT: tl.constexpr, WIDE: tl.constexpr,
        CLASSES: tl.constexpr):
    """Load what all classes of a pixel share.

    That is whether the pixel exists, its offsets in logits and target, its
    weight, its label, and the label's probability of its class and of others.
    """
    inside = pixels < num_pixels
    place = image * num_pixels + pixels
    at = offsets(pixels, width, logits_row, logits_col, FLAT, WIDE)
    label_at = at
    if KIND == 'hard' or KIND == 'smoothed':
        index, w = loads.target(
            target, weight, place, inside, ignore_index, CLASSES)
    else:
        label_at = offsets(pixels, width, target_row, target_col, FLAT, WIDE)
        index = pixels
        w = inside.to(tl.float32)
        if weight is not None:
            w = tl.load(weight + place, mask=inside, other=0).to(tl.float32)
    own = w
    rest = w
    if KIND == 'smoothed':
        chosen = inside
        if smoothed is not None:
            chosen = tl.load(smoothed + place, mask=inside, other=0) != 0
        own = tl.where(chosen, on, 1.0)
        rest = tl.where(chosen, off, 0.0)
    return inside, at, label_at, w, index, own, rest


@triton.jit
def load_tile(base, at, classes, stride_c, inside, CLASSES: tl.constexpr):
    """Load a tile in float32; 0 outside the tensor."""
    pointers = base + (at + classes.to(at.dtype) * stride_c)
    mask = (classes < CLASSES) & inside
    return tl.load(pointers, mask=mask, other=0).to(tl.float32)


@triton.jit
def probabilities(
        logits, target, inside, at, label_at, w, index, own, rest, classes,
        logits_c, target_c, inverse_temperature, top, total, label_top,
        label_total, KIND: tl.constexpr, SIGMOID: tl.constexpr,
        MANY: tl.constexpr, CLASSES: tl.constexpr):
    """Read a tile: logits, their maximum, p, -log p and y; 0 in padding.

    With SIGMOID, log(1 + exp(-abs(z))) takes the place of -log p. A tile of
    all classes computes its maximum and sum of exponentials itself. A hard
    label stays boolean.
    """
    z = load_tile(logits, at, classes, logits_c, inside, CLASSES)
    if KIND == 'hard':
        y = (index == classes) & (classes < CLASSES)
    elif KIND == 'smoothed':
        y = tl.where(index == classes, own, rest)
        y = tl.where(classes < CLASSES, y, 0.0)
    else:
        y = load_tile(target, label_at, classes, target_c, inside, CLASSES)
        if KIND == 'probabilities':
            y = tl.where(w != 0, y, 0.0)
        else:
            y *= inverse_temperature
    if not MANY:
        top, total = _softmax(z, classes, CLASSES)
        if KIND == 'softmax':
            label_top, label_total = _softmax(y, classes, CLASSES)
    p, cost = _activate(z, top, total, classes, SIGMOID, CLASSES)
    if KIND == 'softmax' or KIND == 'sigmoid':
        y, _ = _activate(
            y, label_top, label_total, classes, KIND == 'sigmoid', CLASSES)
    return z, top, p, cost, y


@triton.jit
def _softmax(z, classes, CLASSES: tl.constexpr):
    """Return max z and the sum of exp(z - max z), over classes."""
    z = tl.where(classes < CLASSES, z, float('-inf'))
    top = tl.max(z, axis=0, keep_dims=True)
    return top, tl.sum(tl.exp(z - top), axis=0, keep_dims=True)


@triton.jit
def softmax_in_chunks(
        base, inside, at, stride_c, factor, NEEDED: tl.constexpr,
        CLASSES: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr):
    """Return the same for z times a factor, chunk by chunk, if NEEDED."""
    top = tl.full((1, BLOCK_P), float('-inf'), tl.float32)
    total = tl.zeros((1, BLOCK_P), tl.float32)
    if NEEDED:
        for start in range(0, CLASSES, BLOCK_C):
            classes = start + tl.arange(0, BLOCK_C)[:, None]
            z = load_tile(base, at, classes, stride_c, inside, CLASSES)
            z = tl.where(classes < CLASSES, z * factor, float('-inf'))
            larger = tl.maximum(top, tl.max(z, axis=0, keep_dims=True))
            # nothing is subtracted while all logits so far are -inf
            less = tl.where(larger == float('-inf'), 0.0, larger)
            total *= tl.exp(top - less)
            total += tl.sum(tl.exp(z - less), axis=0, keep_dims=True)
            top = larger
    return top, total


@triton.jit
def _activate(z, top, total, classes, SIGMOID: tl.constexpr,
              CLASSES: tl.constexpr):
    """Return p, and -log p or with SIGMOID log(1 + exp(-abs(z)))."""
    if SIGMOID:
        e = tl.exp(-tl.abs(z))
        u = 1 + e
        r = 1 / u
        p = tl.where(classes < CLASSES, tl.where(z >= 0, r, e * r), 0.0)
        # the second term is what rounding took from u
        cost = tl.log(u) + (e - (u - 1)) * r
    else:
        z = tl.where(classes < CLASSES, z, float('-inf'))
        z -= top
        p = tl.exp(z) * (1 / total)
        cost = tl.log(total) - z
    return p, cost


@triton.jit
def entropy(z, y, cost, scale, classes, KIND: tl.constexpr,
            SIGMOID: tl.constexpr, CLASSES: tl.constexpr):
    """Return the cross-entropy of each pixel."""
    if SIGMOID:
        cost += tl.maximum(z, 0.0) - z * y
        cost = tl.where(classes < CLASSES, cost, 0.0)
    elif KIND == 'hard':
        cost = tl.where(y, cost, 0.0)
    else:
        # a class of probability 0 may have an infinite logit
        cost = y * tl.where(y != 0, cost, 0.0)
    return tl.sum(scale * cost, axis=0, keep_dims=True)


@triton.jit
def slope(p, y, by_p, by_t, by_q, KIND: tl.constexpr, NORM: tl.constexpr,
          PRODUCT: tl.constexpr):
    """Return the derivative of the loss by p, without the log-likelihood."""
    h = by_p * (1.0 if NORM == 1 else 2 * p)
    if KIND == 'hard' or NORM == 2:
        h += by_t * y
    else:
        h += by_t * tl.where(p < y, 1.0, tl.where(p == y, 0.5, 0.0))
    if PRODUCT:
        h += by_q * y
    return h
