"""Region sums of full-size logits on a GPU: a kernel forward, one backward.

A program goes through tiles of one image, some classes (axis 0) by some
pixels (axis 1), in float32. With logits z, label y, weight w of a pixel, class
weights k and norm n, and with z' = z - max z:

    p_c = exp(z'_c) / sum_d exp(z'_d)    -log p_c = log sum_d exp(z'_d) - z'_c

or p_c = sigmoid(z_c). Forward, summed over pixels:

    P = w p^n    Y = w y^n    T = w min(p, y) or w p y    Q = w p y

for each class, where T is a minimum for soft labels and n = 1 only; and

    E = w sum_c k_c y_c (-log p_c)    M = w sum_c k_c y_c    or, with sigmoid,
    E = w sum_c k_c (max(z_c, 0) - z_c y_c + log(1 + exp(-abs(z_c))))
    M = w sum_c k_c

over all classes; -E is the log-likelihood. Each program writes its sums to a
row of its own: without atomics the result does not depend on which program
ends first. The largest p, y or p + y of each class over pixels with w > 0
ends the row.

Backward, from the slopes gP, gL, gT and gQ of an image, where gL is that by
the log-likelihood times k:

    h_c = gP_c n p_c^(n - 1) + gT_c t_c + gQ_c y_c    q_c = gL_c y_c
    t_c = 1, 1/2, 0 for p_c <, =, > y_c if T is a minimum, else y_c
    dz_c = w (p_c (h_c - sum_d (p_d h_d + q_d)) + q_c)
    dz_c = w (h_c p_c (1 - p_c) + gL_c (y_c - p_c))    with sigmoid

which needs no more than the logits: max and sum are taken again.

Up to 192 classes a tile has all of them (BLOCK_C >= CLASSES): it is read once,
and sums stay apart for each pixel of the tile until the program's last tile.
With more, a program has one tile of many pixels and goes through its classes
in chunks of BLOCK_C: for the maximum and the sum of exponentials, backward for
the sum over d, and at last for the sums or the gradient.

Arguments: KIND says what ``target`` is: 'hard' and 'smoothed' class indices,
'probabilities' a dense label, 'softmax' and 'sigmoid' logits of a teacher.
FLAT: the rows of an image follow each other without a gap. WIDE: an image
spans 2^31 elements or more. Strides are named ``<tensor>_n`` (images), ``_c``
(classes), ``_row`` and ``_col``. What is None is left out at compile time.

Strides between pixels are specialised, so that one of 1 puts the threads of a
warp along the pixels. The others are not: known to be multiples of four, they
would bring wide loads, and thus several pixels and a part of the classes to a
thread. As it is, a thread has some pixels and all classes of a tile, or every
num_warps-th: padding up to the power of two is left out at compile time, and
sums over classes stay in the thread.
"""

# mypy: ignore-errors
# Triton compiles these functions: its types are no annotations.
import triton
import triton.language as tl

from . import loads, tile_math

__all__ = ['backward_kernel', 'forward_kernel']

# The formatter would give each of thirty arguments a line.
# fmt: off
_FORWARD_SIZES = [
    'num_pixels', 'tiles', 'width', 'logits_n', 'logits_c', 'logits_row',
    'target_n', 'target_c', 'target_row', 'ignore_index']
_BACKWARD_SIZES = [
    *_FORWARD_SIZES, 'grad_n', 'grad_c', 'grad_row', 'slopes_n']


@triton.jit(do_not_specialize=_FORWARD_SIZES)
def forward_kernel(
        logits, target, smoothed, weight, class_weight, sums,
        num_pixels, tiles, width, logits_n, logits_c, logits_row, logits_col,
        target_n, target_c, target_row, target_col,
        ignore_index, on, off, inverse_temperature,
        KIND: tl.constexpr, SIGMOID: tl.constexpr, NORM: tl.constexpr,
        PRODUCT: tl.constexpr, ENTROPY: tl.constexpr, HITS: tl.constexpr,
        LARGEST: tl.constexpr, FLAT: tl.constexpr, WIDE: tl.constexpr,
        CLASSES: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr):
    """Write P, Y, T, Q if PRODUCT, -E, M, hits and maxima to a row."""
    MANY: tl.constexpr = BLOCK_C < CLASSES
    LINEAR: tl.constexpr = KIND == 'hard' or NORM == 2
    EXTRA: tl.constexpr = KIND != 'hard' and (NORM == 2 or PRODUCT)
    ROWS: tl.constexpr = 4 if PRODUCT else 3
    TAIL: tl.constexpr = 3 if HITS else 2
    WIDTH: tl.constexpr = CLASSES * (
        ROWS + (0 if LARGEST is None else 1)) + TAIL
    groups = tl.cdiv(num_pixels, BLOCK_P * tiles)
    image = (tl.program_id(0) // groups).to(tl.int64)
    first = tl.program_id(0) % groups * (BLOCK_P * tiles)
    row = sums + tl.program_id(0).to(tl.int64) * WIDTH
    tail = row + ROWS * CLASSES
    logits += image * logits_n
    if target_n is not None:
        target += image * target_n
    cross_entropy = tl.zeros((1, BLOCK_P), tl.float32)
    hits = tl.zeros((1, BLOCK_P), tl.float32)
    mass = 0.0
    top, total, label_top, label_total = 0.0, 1.0, 0.0, 1.0
    if MANY:
        pixels = first + tl.arange(0, BLOCK_P)[None, :]
        inside, at, label_at, w, index, own, rest = tile_math.pixels(
            target, smoothed, weight, image, pixels, num_pixels, width,
            logits_row, logits_col, target_row, target_col, ignore_index, on,
            off, KIND, FLAT, WIDE, CLASSES)
        top, total = tile_math.softmax_in_chunks(
            logits, inside, at, logits_c, 1.0, HITS or not SIGMOID, CLASSES,
            BLOCK_C, BLOCK_P)
        label_top, label_total = tile_math.softmax_in_chunks(
            target, inside, label_at, target_c, inverse_temperature,
            KIND == 'softmax', CLASSES, BLOCK_C, BLOCK_P)
    for start in range(0, CLASSES, BLOCK_C):
        each = start + tl.arange(0, BLOCK_C)
        classes = each[:, None]
        scale = loads.class_weight(class_weight, each, CLASSES)
        weights = tl.zeros((1, BLOCK_P), tl.float32)
        prediction = tl.zeros((BLOCK_C, BLOCK_P), tl.float32)
        label = tl.zeros((BLOCK_C, BLOCK_P), tl.float32)
        overlap = tl.zeros((BLOCK_C, BLOCK_P), tl.float32)
        extra = tl.zeros((BLOCK_C, BLOCK_P), tl.float32)
        largest = tl.zeros((BLOCK_C, BLOCK_P), tl.float32)
        for tile in range(1 if MANY else tiles):
            if not MANY:
                pixels = first + tile * BLOCK_P + (
                    tl.arange(0, BLOCK_P)[None, :])
                inside, at, label_at, w, index, own, rest = tile_math.pixels(
                    target, smoothed, weight, image, pixels, num_pixels,
                    width, logits_row, logits_col, target_row, target_col,
                    ignore_index, on, off, KIND, FLAT, WIDE, CLASSES)
            z, highest, p, cost, y = tile_math.probabilities(
                logits, target, inside, at, label_at, w, index, own, rest,
                classes, logits_c, target_c, inverse_temperature, top, total,
                label_top, label_total, KIND, SIGMOID, MANY, CLASSES)
            wy = tl.where(y, w, 0.0) if KIND == 'hard' else w * y
            prediction += w * p if NORM == 1 else w * p * p
            label += wy
            if LINEAR:
                overlap += p * wy
            else:
                overlap += tl.minimum(w * p, wy)
            if EXTRA:
                extra += wy * (p if NORM == 1 else y)
            if ENTROPY:
                cost = tile_math.entropy(
                    z, y, cost, scale[:, None], classes, KIND, SIGMOID,
                    CLASSES)
                # at weight 0 the cost may be infinite
                cross_entropy += tl.where(w > 0, w * cost, 0.0)
            if HITS:
                hit = (index == classes) & (z >= highest)
                hits += tl.sum(tl.where(hit, w, 0.0), axis=0, keep_dims=True)
            if LARGEST is not None:
                value = tl.zeros_like(z)
                if LARGEST != 'label':
                    value += p
                if LARGEST != 'prediction':
                    value += y
                largest = tl.maximum(largest, tl.where(w > 0, value, 0.0))
            weights += w
        real = each < CLASSES
        label_sum = tl.sum(label, axis=1)
        overlap_sum = tl.sum(overlap, axis=1)
        extra_sum = tl.sum(extra, axis=1)
        tl.store(row + each, tl.sum(prediction, axis=1), mask=real)
        tl.store(row + CLASSES + each,
                 extra_sum if EXTRA and NORM == 2 else label_sum, mask=real)
        tl.store(row + 2 * CLASSES + each, overlap_sum, mask=real)
        if PRODUCT:
            tl.store(row + 3 * CLASSES + each,
                     overlap_sum if LINEAR else extra_sum, mask=real)
        if LARGEST is not None:
            tl.store(tail + TAIL + each, tl.max(largest, axis=1),
                     mask=real)
        if SIGMOID:
            mass += tl.sum(scale) * tl.sum(weights)
        else:
            mass += tl.sum(scale * label_sum)
    tl.store(tail, 0.0 - tl.sum(cross_entropy))
    tl.store(tail + 1, mass)
    if HITS:
        tl.store(tail + 2, tl.sum(hits))


@triton.jit(do_not_specialize=_BACKWARD_SIZES)
def backward_kernel(
        logits, target, smoothed, weight, slopes, grad,
        num_pixels, tiles, width,
        logits_n, logits_c, logits_row, logits_col,
        target_n, target_c, target_row, target_col,
        grad_n, grad_c, grad_row, grad_col,
        slopes_n, ignore_index, on, off, inverse_temperature,
        KIND: tl.constexpr, SIGMOID: tl.constexpr, NORM: tl.constexpr,
        PRODUCT: tl.constexpr, ENTROPY: tl.constexpr, FLAT: tl.constexpr,
        WIDE: tl.constexpr, CLASSES: tl.constexpr, BLOCK_C: tl.constexpr,
        BLOCK_P: tl.constexpr):
    """Write the gradient by the logits of some tiles."""
    MANY: tl.constexpr = BLOCK_C < CLASSES
    # by_l is read for a pixel's own class alone: one register, not many
    OWN: tl.constexpr = KIND == 'hard' and not SIGMOID
    groups = tl.cdiv(num_pixels, BLOCK_P * tiles)
    image = (tl.program_id(0) // groups).to(tl.int64)
    first = tl.program_id(0) % groups * (BLOCK_P * tiles)
    logits += image * logits_n
    grad += image * grad_n
    if target_n is not None:
        target += image * target_n
    slopes += image * slopes_n
    top, total, label_top, label_total = 0.0, 1.0, 0.0, 1.0
    if MANY:
        pixels = first + tl.arange(0, BLOCK_P)[None, :]
        inside, at, label_at, w, index, own, rest = tile_math.pixels(
            target, smoothed, weight, image, pixels, num_pixels, width,
            logits_row, logits_col, target_row, target_col, ignore_index, on,
            off, KIND, FLAT, WIDE, CLASSES)
        top, total = tile_math.softmax_in_chunks(
            logits, inside, at, logits_c, 1.0, not SIGMOID, CLASSES, BLOCK_C,
            BLOCK_P)
        label_top, label_total = tile_math.softmax_in_chunks(
            target, inside, label_at, target_c, inverse_temperature,
            KIND == 'softmax', CLASSES, BLOCK_C, BLOCK_P)
        dot = tl.zeros((1, BLOCK_P), tl.float32)
        for start in range(0, 0 if SIGMOID else CLASSES, BLOCK_C):
            each = start + tl.arange(0, BLOCK_C)
            classes = each[:, None]
            by_p, by_t, by_q = _load_slopes(slopes, each, PRODUCT, CLASSES)
            by_l = loads.slope(
                slopes, 1, index if OWN else classes, ENTROPY, CLASSES)
            _, _, p, _, y = tile_math.probabilities(
                logits, target, inside, at, label_at, w, index, own, rest,
                classes, logits_c, target_c, inverse_temperature, top, total,
                label_top, label_total, KIND, SIGMOID, MANY, CLASSES)
            y = y.to(tl.float32)
            h = tile_math.slope(p, y, by_p, by_t, by_q, KIND, NORM, PRODUCT)
            dot += tl.sum(p * h + by_l * y, axis=0, keep_dims=True)
    for start in range(0, CLASSES, BLOCK_C):
        each = start + tl.arange(0, BLOCK_C)
        classes = each[:, None]
        by_p, by_t, by_q = _load_slopes(slopes, each, PRODUCT, CLASSES)
        by_l = loads.slope(slopes, 1, classes, ENTROPY and not OWN, CLASSES)
        for tile in range(1 if MANY else tiles):
            if not MANY:
                pixels = first + tile * BLOCK_P + (
                    tl.arange(0, BLOCK_P)[None, :])
                inside, at, label_at, w, index, own, rest = tile_math.pixels(
                    target, smoothed, weight, image, pixels, num_pixels,
                    width, logits_row, logits_col, target_row, target_col,
                    ignore_index, on, off, KIND, FLAT, WIDE, CLASSES)
            _, _, p, _, y = tile_math.probabilities(
                logits, target, inside, at, label_at, w, index, own, rest,
                classes, logits_c, target_c, inverse_temperature, top, total,
                label_top, label_total, KIND, SIGMOID, MANY, CLASSES)
            y = y.to(tl.float32)
            h = tile_math.slope(p, y, by_p, by_t, by_q, KIND, NORM, PRODUCT)
            by_label = by_l
            if OWN:
                by_label = loads.slope(slopes, 1, index, ENTROPY, CLASSES)
            if SIGMOID:
                dz = h * p * (1 - p)
                if ENTROPY:
                    dz += by_label * (y - p)
            else:
                q = by_label * y
                if not MANY:
                    dot = tl.sum(p * h + q, axis=0, keep_dims=True)
                dz = p * (h - dot) + q
            grad_at = tile_math.offsets(
                pixels, width, grad_row, grad_col, FLAT, WIDE)
            pointers = grad + (grad_at + classes.to(grad_at.dtype) * grad_c)
            tl.store(pointers, (w * dz).to(grad.dtype.element_ty),
                     mask=(classes < CLASSES) & inside)


@triton.jit
def _load_slopes(slopes, each, PRODUCT: tl.constexpr,
                 CLASSES: tl.constexpr):
    """Load the slopes by P, T and Q."""
    by_p = loads.slope(slopes, 0, each, True, CLASSES)[:, None]
    by_t = loads.slope(slopes, 2, each, True, CLASSES)[:, None]
    by_q = loads.slope(slopes, 3, each, PRODUCT, CLASSES)[:, None]
    return by_p, by_t, by_q
