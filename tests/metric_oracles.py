"""Recorded metrics, and slow ones, to hold the fast ones against."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

NAMES = ('Acc', 'IoU', 'Dice')
GOLDEN = np.load(Path(__file__).parent / 'data' / 'metrics_golden.npz')
CASES = json.loads(str(GOLDEN['cases']))
RECORDED = pytest.mark.parametrize('case', CASES, ids=lambda c: str(c['case']))


def recorded(case):
    """Probabilities and labels of a case."""
    for name in ('prob', 'label'):
        yield torch.from_numpy(GOLDEN[f'{case["case"]}.{name}'])


def assert_same(ours, theirs, tolerance):
    """Without a relative tolerance, and NaN is not the same."""
    assert ours == pytest.approx(theirs, abs=tolerance)


def pixels_of(prediction, label, c):
    """Hits, predicted and labelled pixels of a class, one by one."""
    pairs = [(p, y) for p, y in zip(prediction, label) if y != 255]
    hit = sum(p == c and y == c for p, y in pairs)
    return hit, sum(p == c for p, _ in pairs), sum(y == c for _, y in pairs)


def score(hit, predicted, labelled):
    pairs = [
        (hit, labelled),
        (hit, predicted + labelled - hit),
        (2 * hit, predicted + labelled),
    ]
    return [a / b if b else math.nan for a, b in pairs]


def mean(values):
    values = [v for v in values if not math.isnan(v)]
    return sum(values) / len(values) if values else math.nan


def worst(values, percent):
    values = sorted(v for v in values if not math.isnan(v))
    return mean(values[: max(1, percent * len(values) // 100)])


def iou_figures(predictions, labels, classes, q, binary=False):
    """The figures with nothing but Python numbers, NaNs left out."""
    cells = [
        [
            pixels_of(p.flatten().tolist(), y.flatten().tolist(), c)
            for c in range(classes)
        ]
        for p, y in zip(predictions, labels)
        if (y != 255).any()
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

    totals = [[sum(x) for x in zip(*column)] for column in zip(*cells)]
    totals = totals[int(binary) :]
    hits, _, labelled = (sum(x) for x in zip(*totals))
    figures = {'Acc': hits / labelled}
    shares = {'': [100], str(q): [q], 'Q': range(10, 101, 10)}
    for k, name in enumerate(NAMES):
        figures[f'm{name}D'] = mean(score(*t)[k] for t in totals)
        for suffix, percents in shares.items():
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
        bins[min(int(p * num_bins), num_bins - 1)].append(happened - p)
    return 100 * sum(abs(sum(gaps)) for gaps in bins) / len(pairs)


def calibration_figures(prob, label, num_bins=10):
    """The figures of N float64 probabilities (C, P), a pixel at a time."""
    images = [
        [(p.tolist(), int(y)) for p, y in zip(prob[n].T, label[n]) if y != 255]
        for n in range(len(prob))
    ]
    images = [image for image in images if image]
    classes = range(len(prob[0]))

    def ece(pixels):
        pairs = [(max(p), p.index(max(p)) == y) for p, y in pixels]
        return error_by_loops(pairs, num_bins)

    def sce(pixels):
        pairs = ([(p[c], y == c) for p, y in pixels] for c in classes)
        return np.mean([error_by_loops(one, num_bins) for one in pairs])

    def brier(p, y):
        return sum((p[c] - (c == y)) ** 2 for c in classes)

    every = sum(images, [])
    return {
        'ECED': ece(every),
        'ECEI': np.mean([ece(image) for image in images]),
        'SCED': sce(every),
        'SCEI': np.mean([sce(image) for image in images]),
        'NLL': np.mean([-math.log(p[y]) for p, y in every]),
        'Brier': np.mean([brier(p, y) for p, y in every]),
    }
