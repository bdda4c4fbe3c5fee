"""Fine-grained scores against recorded figures and loops."""

import math

import pytest
import torch

from tests.functional.on_device import (
    fine_grained_iou,
    region_counts,
    worst_mean,
)
from tests.metric_oracles import (
    RECORDED,
    assert_same,
    iou_figures,
    recorded,
)
from tests.tolerances import FIGURES, ROUNDED_FIGURES


def noisy(images=9, classes=5):
    """Labels in blocks, predictions with noise, some pixels ignored.

    No label holds the last class, and no pixel of image 2 counts.
    """
    label = torch.randint(0, classes - 1, (images, 3, 3))
    label = label.repeat_interleave(4, 1).repeat_interleave(4, 2)
    noise = torch.randint(0, classes, label.shape)
    prediction = torch.where(torch.rand(label.shape) < 0.4, noise, label)
    label[torch.rand(label.shape) < 0.1] = 255
    label[2] = 255
    return prediction, label


def figures_of(prediction, label, classes=5, *arguments):
    counts = region_counts(prediction, label, classes)
    return fine_grained_iou(counts, *arguments)


@RECORDED
def test_recorded_figures(case):
    """An image where theirs divides by 0 is left out of the mean here."""
    prob, label = recorded(case)
    arguments = [case[name] for name in ('num_classes', 'q', 'binary')]
    ours = figures_of(prob.argmax(1), label, *arguments)
    loops = iou_figures(prob.argmax(1), label, *arguments)
    theirs = {k: v for k, v in case['results'].items() if 'CE' not in k}
    undefined = {k for k, v in theirs.items() if math.isnan(v)}
    expected = {'mAccI', 'mAccIQ', 'mAccC', 'mAccCQ', 'mAccC5'}
    assert undefined == (expected if case['binary'] else set())
    for name in undefined:
        assert 0 < loops[name] < 100
        theirs[name] = loops[name]
    assert_same(ours, theirs, ROUNDED_FIGURES)


@pytest.mark.parametrize('q', [5, 20, 57])
def test_figures_by_loops(q):
    arguments = *noisy(), 5, q
    assert_same(figures_of(*arguments), iou_figures(*arguments), FIGURES)


@pytest.mark.parametrize('q', [5, 30])
def test_binary_figures_by_loops(q):
    prediction, label = noisy(classes=2)
    label[0] = prediction[0] = 0  # nothing there, nothing found: a score of 1
    label[1], prediction[1] = 0, 1
    label[3:6] = label[3:6].clamp(max=1)
    label[4:7] = torch.randint(0, 2, label[4:7].shape)
    arguments = prediction, label, 2, q, True
    assert_same(figures_of(*arguments), iou_figures(*arguments), FIGURES)


def test_ignored_label_of_the_caller():
    prediction, label = noisy()
    label[label == 255] = 0
    expected = region_counts(prediction, label.where(label != 1, 255), 5)
    counts = region_counts(prediction, label, 5, ignore_index=1)
    assert all(map(torch.equal, counts, expected))
    counts = region_counts(prediction, label, 5, ignore_index=None)
    assert counts.labelled.sum() == label.numel()


@pytest.mark.parametrize(
    ('percent', 'expected'),
    # of the four numbers 1 2 3 9: at least one, then floor(4 percent / 100)
    [(1, 1), (25, 1), (49, 1), (50, 1.5), (99, 2), (100, 3.75)],
)
def test_worst_mean(percent, expected):
    values = torch.tensor([9.0, math.nan, 1, 3, 2])
    assert worst_mean(values, percent).item() == expected
    columns = torch.stack([values, torch.full((5,), math.nan)], 1)
    assert worst_mean(columns, percent)[0].item() == expected
    assert worst_mean(columns, percent)[1].isnan()


def test_share_that_is_a_whole_number_is_not_rounded_down():
    """0.57 * 100 is 56.99999999999999 in floating point."""
    values = torch.arange(100.0)
    assert worst_mean(values, 57).item() == sum(range(57)) / 57


@pytest.mark.parametrize('images', [0, 2])
def test_nothing_counted(images):
    label = torch.full((images, 3), 255)
    figures = figures_of(torch.zeros_like(label), label, 3)
    assert all(math.isnan(value) for value in figures.values())


def test_other_dtypes_and_strides():
    prediction, label = noisy()
    counts = region_counts(prediction, label, 5)
    prediction = prediction.to(torch.uint8).mT.contiguous().mT
    same = region_counts(prediction, label.to(torch.int32), 5)
    assert all(map(torch.equal, counts, same))


@pytest.mark.parametrize(
    ('prediction', 'label', 'message'),
    [
        ([[0, 1]], [[0, 1, 1]], r'same shape, but got \(1, 2\) and \(1, 3\)'),
        ([[0, 1]], [[0, 7]], r'label in \[0, 2\) .* but got \[7\]'),
        ([[0, 2]], [[0, 1]], r'prediction in \[0, 2\) .* but got \[2\]'),
    ],
)
def test_counts_that_cannot_be(prediction, label, message):
    with pytest.raises(ValueError, match=message):
        region_counts(torch.tensor(prediction), torch.tensor(label), 2)


def test_options_that_cannot_be():
    counts = region_counts(torch.zeros(1, 2), torch.zeros(1, 2), 3)
    with pytest.raises(ValueError, match='two classes'):
        fine_grained_iou(counts, binary=True)
    with pytest.raises(ValueError, match=r'worst .* in \(0, 100\], .* got 0'):
        fine_grained_iou(counts, worst=0)
    with pytest.raises(ValueError, match="percent to be a number .* got '5'"):
        worst_mean(torch.ones(2), '5')
