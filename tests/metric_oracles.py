"""Slow, obvious metrics, a pixel at a time, to hold the fast ones against."""

import math

import numpy as np
import pytest

NAMES = ('Acc', 'IoU', 'Dice')


def assert_same(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=tolerance), name


def pixels_of(prediction, label, c):
    """Hits, predicted and labelled pixels of a class, one by one."""
    pairs = [(p, y) for p, y in zip(prediction, label) if y != 255]
    hit = sum(p == c and y == c for p, y in pairs)
    return hit, sum(p == c for p, _ in pairs), sum(y == c for _, y in pairs)


def score(hit, predicted, labelled):
    def ratio(a, b):
        return a / b if b else math.nan

    return (
        ratio(hit, labelled),
        ratio(hit, predicted + labelled - hit),
        ratio(2 * hit, predicted + labelled),
    )


def mean(values):
    values = [v for v in values if not math.isnan(v)]
    return sum(values) / len(values) if values else math.nan


def worst(values, percent):
    values = sorted(v for v in values if not math.isnan(v))
    return mean(values[: max(1, percent * len(values) // 100)])


def iou_figures(predictions, labels, classes, q, binary=False):
    """The figures with nothing but Python numbers, NaNs left out."""
    images = [
        (p.flatten().tolist(), y.flatten().tolist())
        for p, y in zip(predictions, labels)
        if (y != 255).any()
    ]
    cells = [
        [pixels_of(*image, c) for c in range(classes)] for image in images
    ]

    def active(cell):
        return cell[2] > 0 or (binary and cell[1] > 0)

    def image_score(row, k):
        if binary:
            return score(*row[1])[k] if active(row[1]) else 1.0
        return mean(score(*cell)[k] for cell in row if active(cell))

    def class_score(c, k, percent):
        rows = [row[c] for row in cells if active(row[c])]
        return worst([score(*cell)[k] for cell in rows], percent)

    figures = {}
    totals = [
        [sum(row[c][j] for row in cells) for j in range(3)]
        for c in range(classes)
    ][int(binary) :]
    figures['Acc'] = sum(t[0] for t in totals) / sum(t[2] for t in totals)
    for k, name in enumerate(NAMES):
        figures[f'm{name}D'] = mean(score(*t)[k] for t in totals)
        for suffix, percents in (
            ('', [100]),
            (str(q), [q]),
            ('Q', range(10, 101, 10)),
        ):
            figures[f'm{name}I{suffix}'] = mean(
                worst([image_score(row, k) for row in cells], percent)
                for percent in percents
            )
            figures[f'm{name}C{suffix}'] = mean(
                mean(class_score(c, k, percent) for c in range(classes))
                for percent in percents
            )
    return {name: 100 * value for name, value in figures.items()}


def error_by_loops(pairs, num_bins):
    """Calibration error of pairs (probability, whether it happened)."""
    bins = [[] for _ in range(num_bins)]
    for p, happened in pairs:
        bins[min(int(p * num_bins), num_bins - 1)].append((p, happened))
    gaps = [
        len(b)
        * abs(sum(h for _, h in b) / len(b) - sum(p for p, _ in b) / len(b))
        for b in bins
        if b
    ]
    return 100 * sum(gaps) / len(pairs)


def calibration_figures(prob, label, num_bins=10):
    """The figures of N float64 probabilities (C, P), a pixel at a time."""
    images = [
        [(p.tolist(), int(y)) for p, y in zip(prob[n].T, label[n]) if y != 255]
        for n in range(len(prob))
    ]
    images = [image for image in images if image]

    def ece(pixels):
        pairs = [(max(p), p.index(max(p)) == y) for p, y in pixels]
        return error_by_loops(pairs, num_bins)

    def sce(pixels):
        return np.mean(
            [
                error_by_loops([(p[c], y == c) for p, y in pixels], num_bins)
                for c in range(len(prob[0]))
            ]
        )

    every = sum(images, [])
    return {
        'ECED': ece(every),
        'ECEI': np.mean([ece(image) for image in images]),
        'SCED': sce(every),
        'SCEI': np.mean([sce(image) for image in images]),
        'NLL': np.mean([-math.log(p[y]) for p, y in every]),
        'Brier': np.mean(
            [
                sum((q - (c == y)) ** 2 for c, q in enumerate(p))
                for p, y in every
            ]
        ),
    }
