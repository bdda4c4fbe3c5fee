"""Slow, obvious formulas in float64 loops, to hold the fast ones against."""

import itertools
import math

import numpy as np

LEVELS = ('mIoUD', 'mIoUI', 'mIoUC')


def softmax(logits):
    """Softmax over axis 1 of (N, C, P)."""
    power = np.exp(logits - logits.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


def one_hot(label, num_classes):
    """(N, P) labels to (N, C, P); 0 everywhere for labels outside."""
    return np.stack([label == c for c in range(num_classes)], 1).astype(
        np.float64
    )


def class_index(
    prob,
    label,
    weight,
    alpha=1.0,
    beta=1.0,
    smooth=1.0,
    norm=1,
    variant='jml1',
):
    """Index of one class over a list of pixels, one pixel at a time."""
    p_sum = y_sum = difference = product = 0.0
    for p, y, w in zip(prob, label, weight):
        p_sum += w * p**norm
        y_sum += w * y**norm
        difference += w * abs(p - y) ** norm
        product += w * p * y
    overlap = (p_sum + y_sum - difference) / 2
    hit = product if variant == 'jml2' else overlap
    denominator = (
        hit + alpha * (p_sum - overlap) + beta * (y_sum - overlap) + smooth
    )
    return (hit + smooth) / denominator if denominator else 1.0


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
    images, classes = prob.shape[:2]

    def term(rows, c):
        index = class_index(
            np.concatenate([prob[n, c] for n in rows]),
            np.concatenate([label[n, c] for n in rows]),
            np.concatenate([weight[n] for n in rows]),
            **index_options,
        )
        value = -math.log(index) if log_loss else 1 - index
        return value**gamma * (1 if class_weight is None else class_weight[c])

    def is_active(n, c):
        kept = weight[n] > 0
        return kept.any() and active(prob[n, c][kept], label[n, c][kept])

    def mean(values):
        values = list(values)
        return sum(values) / len(values) if values else 0.0

    cells = {
        (n, c)
        for n, c in itertools.product(range(images), range(classes))
        if is_active(n, c)
    }
    seen = sorted({c for _, c in cells})
    dataset = mean(term(range(images), c) for c in seen)
    image = mean(
        mean(term([n], c) for c in range(classes) if (n, c) in cells)
        for n in range(images)
        if any((n, c) in cells for c in range(classes))
    )
    by_class = mean(
        mean(term([n], c) for n in range(images) if (n, c) in cells)
        for c in seen
    )
    return mIoUD * dataset + mIoUI * image + mIoUC * by_class


ACTIVE = {
    'ALL': lambda p, y: True,
    'PRESENT': lambda p, y: y.max() > 0.01,
    'LABEL': lambda p, y: y.max() > 0.01,
    'PROB': lambda p, y: p.max() > 0.01,
    'BOTH': lambda p, y: (p + y).max() > 0.01,
}
