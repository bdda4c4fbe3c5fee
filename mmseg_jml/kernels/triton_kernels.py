"""Region sums on a GPU: one kernel forward, one backward.

A program goes through tiles of one image, all classes (axis 0) by some pixels
(axis 1), in float32. With logits z, label y, weight w of a pixel, class
weights k and norm n, and with z' = z - max z:

    p_c = exp(z'_c) / sum_d exp(z'_d)    -log p_c = log sum_d exp(z'_d) - z'_c

or p_c = sigmoid(z_c). Forward, summed over pixels:

    P = w p^n    Y = w y    T = w min(p, y) or w p y    X = w p y or w y^2

for each class, where T is a minimum for soft labels and n = 1 only; and

    E = w sum_c k_c y_c (-log p_c)    or, with sigmoid, k_c times
        max(z_c, 0) - z_c y_c + log(1 + exp(-abs(z_c)))    and    W = w

over all classes. Each program writes its sums to a row of its own: without
atomics the result does not depend on which program ends first.

Backward, from the gradients gP, gT, gX and gE of an image:

    h_c = gP_c n p_c^(n - 1) + gT_c t_c + gX_c y_c    q_c = gE k_c y_c
    t_c = 1, 1/2, 0 for p_c <, =, > y_c if T is a minimum, else y_c
    dz_c = w (p_c (h_c - sum_d (p_d h_d - q_d)) - q_c)
    dz_c = w (h_c p_c (1 - p_c) + gE k_c (p_c - y_c))    with sigmoid

which needs no more than the logits: max and sum are taken again.

Arguments: KIND says what ``target`` is: 'hard' and 'smoothed' class indices,
'probabilities' a dense label, 'softmax' and 'sigmoid' logits of a teacher.
FLAT: the rows of an image follow each other without a gap. WIDE: an image
spans 2^31 elements or more. Strides are named ``<tensor>_n`` (images), ``_c``
(classes), ``_row`` and ``_col``. What is None is left out at compile time.

Strides between pixels are specialised, so that one of 1 puts the threads of a
warp along the pixels. The others are not: known to be multiples of four, they
would bring wide loads, and thus several pixels and a part of the classes to a
thread. As it is, a thread has one pixel and all classes, or every
num_warps-th: padding up to the power of two is left out at compile time, and
sums over classes stay in the thread.
"""

import triton
import triton.language as tl

__all__ = ['backward_kernel', 'forward_kernel']

# The formatter would give each of thirty arguments a line.
# fmt: off
_FORWARD_SIZES = [
    'num_pixels', 'tiles', 'width', 'logits_n', 'logits_c', 'logits_row',
    'target_n', 'target_c', 'target_row']
_BACKWARD_SIZES = [*_FORWARD_SIZES, 'grad_n', 'grad_c', 'grad_row']


@triton.jit(do_not_specialize=_FORWARD_SIZES)
def forward_kernel(
        logits, target, smoothed, weight, class_weight, sums,
        num_pixels, tiles, width, logits_n, logits_c, logits_row, logits_col,
        target_n, target_c, target_row, target_col,
        ignore_index, on, off, inverse_temperature,
        KIND: tl.constexpr, SIGMOID: tl.constexpr, NORM: tl.constexpr,
        ENTROPY: tl.constexpr, EXTRA: tl.constexpr, FLAT: tl.constexpr,
        WIDE: tl.constexpr, CLASSES: tl.constexpr, BLOCK_C: tl.constexpr,
        BLOCK_P: tl.constexpr):
    """Writes P, Y, T, X if EXTRA, E and W of some tiles to a row of sums."""
    groups = tl.cdiv(num_pixels, BLOCK_P * tiles)
    image = (tl.program_id(0) // groups).to(tl.int64)
    first = tl.program_id(0) % groups * (BLOCK_P * tiles)
    classes = tl.arange(0, BLOCK_C)[:, None]
    scale = _class_scale(class_weight, CLASSES, BLOCK_C)
    prediction = tl.zeros((BLOCK_C, BLOCK_P), tl.float32)
    label = tl.zeros((BLOCK_C, BLOCK_P), tl.float32)
    overlap = tl.zeros((BLOCK_C, BLOCK_P), tl.float32)
    extra = tl.zeros((BLOCK_C, BLOCK_P), tl.float32)
    entropy = tl.zeros((1, BLOCK_P), tl.float32)
    mass = tl.zeros((1, BLOCK_P), tl.float32)
    for tile in range(tiles):
        pixels = first + tile * BLOCK_P + tl.arange(0, BLOCK_P)[None, :]
        z = _load_tile(
            logits, image, classes, pixels, num_pixels, width, logits_n,
            logits_c, logits_row, logits_col, FLAT, WIDE, CLASSES)
        p, cost = _activate(z, classes, SIGMOID, CLASSES)
        y, w = _load_target(
            target, smoothed, weight, image, classes, pixels, num_pixels,
            width, target_n, target_c, target_row, target_col, ignore_index,
            on, off, inverse_temperature, KIND, FLAT, WIDE, CLASSES)
        wy = tl.where(y, w, 0.0) if KIND == 'hard' else w * y
        prediction += w * p if NORM == 1 else w * p * p
        label += wy
        if KIND == 'hard' or NORM == 2:
            overlap += p * wy
        else:
            overlap += tl.minimum(w * p, wy)
        if EXTRA:
            extra += wy * (p if NORM == 1 else y)
        if ENTROPY:
            entropy += w * _entropy(z, y, cost, scale, classes, KIND, SIGMOID,
                                    CLASSES)
        mass += w
    row = sums + tl.program_id(0).to(tl.int64) * (
        (4 if EXTRA else 3) * CLASSES + 2)
    _store_sum(row, prediction, CLASSES, BLOCK_C)
    _store_sum(row + CLASSES, label, CLASSES, BLOCK_C)
    _store_sum(row + 2 * CLASSES, overlap, CLASSES, BLOCK_C)
    row += 3 * CLASSES
    if EXTRA:
        _store_sum(row, extra, CLASSES, BLOCK_C)
        row += CLASSES
    tl.store(row, tl.sum(entropy))
    tl.store(row + 1, tl.sum(mass))


@triton.jit(do_not_specialize=_BACKWARD_SIZES)
def backward_kernel(
        logits, target, smoothed, weight, class_weight, grad,
        num_pixels, tiles, width, logits_n, logits_c, logits_row, logits_col,
        target_n, target_c, target_row, target_col,
        grad_n, grad_c, grad_row, grad_col,
        ignore_index, on, off, inverse_temperature,
        grad_prediction, grad_overlap, grad_product, grad_entropy,
        KIND: tl.constexpr, SIGMOID: tl.constexpr, NORM: tl.constexpr,
        FLAT: tl.constexpr, WIDE: tl.constexpr, CLASSES: tl.constexpr,
        BLOCK_C: tl.constexpr, BLOCK_P: tl.constexpr):
    """Writes the gradient by the logits of some tiles."""
    groups = tl.cdiv(num_pixels, BLOCK_P * tiles)
    image = (tl.program_id(0) // groups).to(tl.int64)
    first = tl.program_id(0) % groups * (BLOCK_P * tiles)
    classes = tl.arange(0, BLOCK_C)[:, None]
    row = image * CLASSES
    by_prediction = _load_classes(grad_prediction, row, CLASSES, BLOCK_C)
    by_overlap = _load_classes(grad_overlap, row, CLASSES, BLOCK_C)
    by_product = _load_classes(grad_product, row, CLASSES, BLOCK_C)
    scale = _class_scale(class_weight, CLASSES, BLOCK_C)
    if grad_entropy is not None:
        scale *= tl.load(grad_entropy + image).to(tl.float32)
    for tile in range(tiles):
        pixels = first + tile * BLOCK_P + tl.arange(0, BLOCK_P)[None, :]
        z = _load_tile(
            logits, image, classes, pixels, num_pixels, width, logits_n,
            logits_c, logits_row, logits_col, FLAT, WIDE, CLASSES)
        p, _ = _activate(z, classes, SIGMOID, CLASSES)
        y, w = _load_target(
            target, smoothed, weight, image, classes, pixels, num_pixels,
            width, target_n, target_c, target_row, target_col, ignore_index,
            on, off, inverse_temperature, KIND, FLAT, WIDE, CLASSES)
        y = y.to(tl.float32)
        h = tl.zeros_like(z)
        if grad_prediction is not None:
            h += by_prediction * (1.0 if NORM == 1 else 2 * p)
        if grad_overlap is not None:
            if KIND == 'hard' or NORM == 2:
                h += by_overlap * y
            else:
                below = tl.where(p < y, 1.0, tl.where(p == y, 0.5, 0.0))
                h += by_overlap * below
        if grad_product is not None:
            h += by_product * y
        if SIGMOID:
            dz = h * p * (1 - p)
            if grad_entropy is not None:
                dz += scale * (p - y)
        elif grad_entropy is not None:
            q = scale * y
            dz = p * (h - tl.sum(p * h - q, axis=0, keep_dims=True)) - q
        else:
            dz = p * (h - tl.sum(p * h, axis=0, keep_dims=True))
        pointers = _pointers(grad, image, classes, pixels, width, grad_n,
                             grad_c, grad_row, grad_col, FLAT, WIDE)
        mask = (classes < CLASSES) & (pixels < num_pixels)
        tl.store(pointers, (w * dz).to(grad.dtype.element_ty), mask=mask)


@triton.jit
def _pointers(base, image, classes, pixels, width, stride_n, stride_c,
              stride_row, stride_col, FLAT: tl.constexpr, WIDE: tl.constexpr):
    """Addresses of a tile."""
    index = tl.int64 if WIDE else tl.int32
    if FLAT:
        offsets = pixels.to(index) * stride_col
    else:
        offsets = (pixels // width).to(index) * stride_row + \
            (pixels % width).to(index) * stride_col
    return base + image * stride_n + (offsets + classes.to(index) * stride_c)


@triton.jit
def _load_tile(base, image, classes, pixels, num_pixels, width, stride_n,
               stride_c, stride_row, stride_col, FLAT: tl.constexpr,
               WIDE: tl.constexpr, CLASSES: tl.constexpr):
    """A tile in float32, 0 outside the tensor."""
    pointers = _pointers(base, image, classes, pixels, width, stride_n,
                         stride_c, stride_row, stride_col, FLAT, WIDE)
    mask = (classes < CLASSES) & (pixels < num_pixels)
    return tl.load(pointers, mask=mask, other=0).to(tl.float32)


@triton.jit
def _activate(z, classes, SIGMOID: tl.constexpr, CLASSES: tl.constexpr):
    """Probabilities, 0 in padding, and -log of them.

    With SIGMOID log(1 + exp(-abs(z))) in place of the latter.
    """
    if SIGMOID:
        e = tl.exp(-tl.abs(z))
        u = 1 + e
        r = 1 / u
        p = tl.where(classes < CLASSES, tl.where(z >= 0, r, e * r), 0.0)
        # the second term is what rounding took from u
        cost = tl.log(u) + (e - (u - 1)) * r
    else:
        z = tl.where(classes < CLASSES, z, float('-inf'))
        z -= tl.max(z, axis=0, keep_dims=True)
        e = tl.exp(z)
        total = tl.sum(e, axis=0, keep_dims=True)
        p = e * (1 / total)
        cost = tl.log(total) - z
    return p, cost


@triton.jit
def _load_target(
        target, smoothed, weight, image, classes, pixels, num_pixels, width,
        stride_n, stride_c, stride_row, stride_col, ignore_index, on, off,
        inverse_temperature, KIND: tl.constexpr, FLAT: tl.constexpr,
        WIDE: tl.constexpr, CLASSES: tl.constexpr):
    """Labels, 0 in padding (for 'hard' booleans), and weights of pixels."""
    inside = pixels < num_pixels
    pixels_in_all = image * num_pixels + pixels
    w = inside.to(tl.float32)
    if weight is not None:
        w = tl.load(weight + pixels_in_all, mask=inside, other=0)
        w = w.to(tl.float32)
    if KIND == 'hard' or KIND == 'smoothed':
        index = tl.load(target + pixels_in_all, mask=inside, other=0)
        if ignore_index is not None:
            w = tl.where(index == ignore_index, 0.0, w)
        y = (index.to(tl.int32) == classes) & (classes < CLASSES)
        if KIND == 'smoothed':
            soft = tl.where(y, on, off)
            y = y.to(tl.float32)
            if smoothed is None:
                y = soft
            else:
                chosen = tl.load(smoothed + pixels_in_all, mask=inside,
                                 other=0)
                y = tl.where(chosen != 0, soft, y)
            y = tl.where(classes < CLASSES, y, 0.0)
    else:
        y = _load_tile(
            target, image, classes, pixels, num_pixels, width, stride_n,
            stride_c, stride_row, stride_col, FLAT, WIDE, CLASSES)
        if KIND != 'probabilities':
            y, _ = _activate(y * inverse_temperature, classes,
                             KIND == 'sigmoid', CLASSES)
    return y, w


@triton.jit
def _entropy(z, y, cost, scale, classes, KIND: tl.constexpr,
             SIGMOID: tl.constexpr, CLASSES: tl.constexpr):
    """Cross-entropy of each pixel."""
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
def _load_classes(base, row, CLASSES: tl.constexpr, BLOCK_C: tl.constexpr):
    """One value for each class of an image, in float32, or zeros."""
    classes = tl.arange(0, BLOCK_C)
    if base is None:
        value = tl.zeros_like(classes)
    else:
        value = tl.load(base + row + classes, mask=classes < CLASSES, other=0)
    return value.to(tl.float32)[:, None]


@triton.jit
def _class_scale(class_weight, CLASSES: tl.constexpr, BLOCK_C: tl.constexpr):
    """Class weights, or ones."""
    scale = _load_classes(class_weight, 0, CLASSES, BLOCK_C)
    return scale + 1 if class_weight is None else scale


@triton.jit
def _store_sum(row, value, CLASSES: tl.constexpr, BLOCK_C: tl.constexpr):
    """Sum over the pixels of a tile."""
    classes = tl.arange(0, BLOCK_C)
    tl.store(row + classes, tl.sum(value, axis=1), mask=classes < CLASSES)
