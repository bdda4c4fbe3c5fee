"""Slow, obvious formulas in float64, to hold the fast ones against."""

import itertools
import math

import numpy as np


def softmax(logits):
    """Softmax over axis 1 of (N, C, P)."""
    power = np.exp(logits - logits.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def one_hot(label, num_classes):
    """(N, P) labels to (N, C, P); 0 everywhere for labels outside."""
    return np.stack([label == c for c in range(num_classes)], 1).astype(float)


def windows(labels, kernel_size):
    """Each pixel (n, i, j) of (N, H, W) and the labels around it."""
    reach = kernel_size // 2
    for n, i, j in itertools.product(*map(range, labels.shape)):
        rows = slice(max(i - reach, 0), i + reach + 1)
        columns = slice(max(j - reach, 0), j + reach + 1)
        yield (n, i, j), labels[n, rows, columns].flatten().tolist()


def class_index(
    p, y, w, alpha=1.0, beta=1.0, smooth=1.0, norm=1, variant='jml1'
):
    """Index of one class from the p, y and weights of a list of pixels."""
    p_sum, y_sum = (w * p**norm).sum(), (w * y**norm).sum()
    overlap = (p_sum + y_sum - (w * abs(p - y) ** norm).sum()) / 2
    hit = (w * p * y).sum() if variant == 'jml2' else overlap
    missed = alpha * (p_sum - overlap) + beta * (y_sum - overlap)
    denominator = hit + missed + smooth
    return (hit + smooth) / denominator if denominator else 1.0


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def jaccard_loss(
    prob,
    label,
    weight,
    active,
    mIoUD=1.0,
    mIoUI=0.0,  # noqa: N803
    mIoUC=0.0,
    gamma=1.0,
    log_loss=False,  # noqa: N803
    class_weight=None,
    **index_options,
):
    """The loss by loops over images and classes.

    ``prob`` and ``label`` are (N, C, P), ``weight`` (N, P), ``active`` a
    function of the labels and probabilities of a class's pixels.
    """
    images, classes = map(range, prob.shape[:2])

    def term(rows, c):
        pixels = prob[rows, c], label[rows, c], weight[rows]
        index = class_index(*pixels, **index_options)
        value = -math.log(index) if log_loss else 1 - index
        return value**gamma * (1 if class_weight is None else class_weight[c])

    def is_active(n, c):
        kept = weight[n] > 0
        return kept.any() and active(prob[n, c][kept], label[n, c][kept])

    cells = {x for x in itertools.product(images, classes) if is_active(*x)}
    seen = sorted({c for _, c in cells})
    dataset = mean(term([*images], c) for c in seen)
    image = mean(
        mean(term([n], c) for c in classes if (n, c) in cells)
        for n in sorted({n for n, _ in cells})
    )
    by_class = mean(
        mean(term([n], c) for n in images if (n, c) in cells) for c in seen
    )
    return mIoUD * dataset + mIoUI * image + mIoUC * by_class


ACTIVE = {
    'ALL': lambda p, y: True,
    'PRESENT': lambda p, y: y.max() > 0.01,
    'LABEL': lambda p, y: y.max() > 0.01,
    'PROB': lambda p, y: p.max() > 0.01,
    'BOTH': lambda p, y: (p + y).max() > 0.01,
}
