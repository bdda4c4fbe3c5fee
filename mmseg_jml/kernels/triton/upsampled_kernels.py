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

There are two forms. *Whole*, for few classes: a thread has a quad and all its
classes, or a half or quarter of them where more than 8 or 21 would not fit
into registers, and the softmax is taken on the spot. *Chunked*:
``normalizer_kernel`` writes the log-sum-exp of each pixel, by a running
maximum over chunks of classes, and for the gradient K; then a thread has a
quad and one chunk of 8 classes, and p = exp(z - log-sum-exp) needs no other
class. That keeps one or two floats a pixel, little beside many classes.

Quads are divided into *strips*, some quad rows below each other, and a warp
gets a tile of neighbours in them. A thread goes down its strip and carries the
gradient of the lower corners into the next row; its neighbour hands it the
gradient of the right corners. Tiles overlap by one quad, which is computed
twice. Where two strips meet, both write their part of a row of the gradient
in float32 to ``seams``, and their sum ends in the gradient. So there are no
atomics, the bits are always the same, and partial gradients take little
memory.
"""

# mypy: ignore-errors
# Triton compiles these functions: its types are no annotations.
import triton
import triton.language as tl

from . import loads, quad_math

__all__ = ['gradient_kernel', 'sums_kernel']

# The formatter would give each of thirty arguments a line.
# fmt: off
_SIZES = [
    'height', 'width', 'label_height', 'label_width', 'rows', 'logits_n',
    'logits_c', 'logits_row', 'grad_n', 'grad_c', 'grad_row', 'slopes_n']


@triton.jit(do_not_specialize=_SIZES)
def sums_kernel(
        logits, label, weight, class_weight, normalizer, sums,
        first_y, share_y, first_x, share_x,
        height, width, label_height, label_width, rows,
        logits_n, logits_c, logits_row, logits_col, ignore_index,
        ENTROPY: tl.constexpr, CLASSES: tl.constexpr, BLOCK_C: tl.constexpr,
        BLOCK_Q: tl.constexpr):
    """Write P, Y and T of a chunk of classes to a row of ``sums``.

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
    present = strip * rows <= height
    left, right, x_first, x_stop = quad_math.columns(
        first_x, column, width, logits_col, present)
    upper_left, upper_right = quad_math.row_corners(
        base, classes * logits_c, strip * rows - 1, height, logits_row, left,
        right, known & present)
    prediction = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
    target = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
    overlap = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
    entropy = tl.zeros((1, BLOCK_Q), tl.float32)
    mass = tl.zeros((1, BLOCK_Q), tl.float32)
    hits = tl.zeros((1, BLOCK_Q), tl.float32)
    for step in range(rows):
        row = strip * rows + step
        inside = row <= height
        lower_left, lower_right = quad_math.row_corners(
            base, classes * logits_c, row, height, logits_row, left, right,
            known & inside)
        y_first, y_stop = quad_math.run(first_y, row, inside)
        for dy in range(tl.max(y_stop - y_first)):
            y = y_first + dy
            v = tl.load(share_y + y, mask=y < y_stop, other=0)
            begin, span = quad_math.row_between(
                upper_left, upper_right, lower_left, lower_right, v)
            for dx in range(tl.max(x_stop - x_first)):
                x = x_first + dx
                pixel = (y < y_stop) & (x < x_stop)
                at, u, t, w = quad_math.pixels_at(
                    label, weight, share_x, image, y, x, pixel, label_height,
                    label_width, ignore_index, CLASSES)
                z = tl.fma(u, span, begin)
                is_own = known & (t == classes)
                if normalizer is None:
                    p, top, shift, total = quad_math.softmax(z, known)
                    p = tl.where(known, p * (w / total), 0.0)
                    own = quad_math.of_own(z, is_own)
                    counted = w > 0
                    scale = w * loads.class_weight(class_weight, t, CLASSES)
                    if ENTROPY:
                        cost = quad_math.cost_of(top, shift, total, own)
                        entropy += tl.where(counted, scale * cost, 0.0)
                    mass += tl.where(counted, scale, 0.0)
                    hits += tl.where(own >= top, w, 0.0)
                else:
                    p = quad_math.probability(z, normalizer + at, pixel)
                prediction += p
                target = tl.where(is_own, target + w, target)
                overlap = tl.where(is_own, overlap + p, overlap)
        upper_left, upper_right = lower_left, lower_right
    tiles = tl.num_programs(0) // chunks
    whole = 3 * CLASSES + (3 if normalizer is None else 0)
    out = sums + (image * tiles + tile) * whole
    quad_math.store_sums(out, prediction, classes, CLASSES)
    quad_math.store_sums(out + CLASSES, target, classes, CLASSES)
    quad_math.store_sums(out + 2 * CLASSES, overlap, classes, CLASSES)
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
    """Write the gradient by the logits of a chunk of classes.

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
    left, right, x_first, x_stop = quad_math.columns(
        first_x, column, width, logits_col, present)
    upper_left, upper_right = quad_math.row_corners(
        base, classes * logits_c, strip * rows - 1, height, logits_row, left,
        right, known & present)
    out = grad + image * grad_n
    seam = seams + image * CLASSES * strips * width
    owned = known & present & (lane > 0) & (column > 0)
    # padding does no harm in a chunk; of a whole the compiler leaves it out
    kept = tl.full((BLOCK_C, 1), True, tl.int1)
    if normalizer is None:
        kept = known
    slopes += image * slopes_n
    a = loads.slope(slopes, 0, classes, True, CLASSES)
    if normalizer is not None:
        b = quad_math.slope_of_overlap(slopes, classes, PRODUCT, CLASSES)
        by_l = loads.slope(slopes, 1, classes, ENTROPY, CLASSES)
    at_left = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
    at_right = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
    for step in range(rows):
        row = strip * rows + step
        inside = present & (row <= height)
        lower_left, lower_right = quad_math.row_corners(
            base, classes * logits_c, row, height, logits_row, left, right,
            known & inside)
        y_first, y_stop = quad_math.run(first_y, row, inside)
        below_left = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
        below_right = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
        for dy in range(tl.max(y_stop - y_first)):
            y = y_first + dy
            v = tl.load(share_y + y, mask=y < y_stop, other=0)
            begin, span = quad_math.row_between(
                upper_left, upper_right, lower_left, lower_right, v)
            row_sum = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
            row_right = tl.zeros((BLOCK_C, BLOCK_Q), tl.float32)
            for dx in range(tl.max(x_stop - x_first)):
                x = x_first + dx
                pixel = (y < y_stop) & (x < x_stop)
                at, u, t, w = quad_math.pixels_at(
                    label, weight, share_x, image, y, x, pixel, label_height,
                    label_width, ignore_index, CLASSES)
                z = tl.fma(u, span, begin)
                is_own = kept & (t == classes)
                if normalizer is None:
                    p, _, _, total = quad_math.softmax(z, known)
                    part = 1 / total
                    steep = quad_math.slope_of_overlap(
                        slopes, t, PRODUCT, CLASSES)
                    gain = part * quad_math.of_own(p, is_own) * steep
                    gain += loads.slope(slopes, 1, t, ENTROPY, CLASSES)
                    k = -gain - part * tl.sum(p * a, axis=0, keep_dims=True)
                    p *= w * part
                    gain *= w
                else:
                    p = quad_math.probability(z, normalizer + at, pixel)
                    k = tl.load(mixture + at, mask=pixel, other=0)
                    gain = tl.fma(b, p, w * by_l)
                dz = tl.fma(p, a + k, tl.where(is_own, gain, 0.0))
                row_sum = quad_math.add(row_sum, dz, 1.0, kept)
                row_right = quad_math.add(row_right, dz, u, kept)
            row_left = row_sum - row_right
            below_left = quad_math.add(below_left, row_left, v, kept)
            below_right = quad_math.add(below_right, row_right, v, kept)
            at_left = quad_math.add(at_left, row_left, 1 - v, kept)
            at_right = quad_math.add(at_right, row_right, 1 - v, kept)
        value = at_left + quad_math.from_neighbour(at_right)
        if step == 0:
            place = (classes * strips + strip) * width + (column - 1)
            place = tl.max_contiguous(place, (1, BLOCK_Q))  # see row_corners
            tl.store(seam + place, value, mask=owned)
        else:
            place = (row - 1) * grad_row + (column - 1) * grad_col
            place = classes * grad_c + place
            place = tl.max_contiguous(place, (1, BLOCK_Q))
            tl.store(out + place, value.to(grad.dtype.element_ty),
                     mask=owned & inside)
        at_left, at_right = below_left, below_right
        upper_left, upper_right = lower_left, lower_right
    value = at_left + quad_math.from_neighbour(at_right)
    images = tl.num_programs(1).to(tl.int64)
    seam += images * CLASSES * strips * width
    place = (classes * strips + strip + 1) * width + (column - 1)
    place = tl.max_contiguous(place, (1, BLOCK_Q))
    tl.store(seam + place, value, mask=owned & (strip + 1 < strips))
