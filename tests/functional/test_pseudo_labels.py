"""Pseudo labels and CutMix, against loops and by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torchmetrics.functional import accuracy, jaccard_index

from mmseg_jml.functional import mean_iou, pixel_accuracy, region_counts
from tests.functional.on_device import (
    certain_logits,
    class_maxima,
    confident_share,
    cutmix_boxes,
    paste,
    pseudo_label,
    running_threshold,
)
from tests.tolerances import FLOAT32, SUMMED


def by_hand(logits: list[float], use_sigmoid: bool) -> tuple[int, float]:
    """Class and confidence of one pixel."""
    sigmoids = [1 / (1 + math.exp(-x)) for x in logits]
    if len(logits) == 1:
        p = [1 - sigmoids[0], sigmoids[0]]
    elif use_sigmoid:
        p = sigmoids
    else:
        total = sum(map(math.exp, logits))
        p = [math.exp(x) / total for x in logits]
    return p.index(max(p)), max(p)


@pytest.mark.parametrize(
    ('channels', 'use_sigmoid'),
    [(1, True), (1, False), (2, False), (5, False), (5, True)],
)
@pytest.mark.parametrize('scale', [0.1, 3.0])
def test_against_a_loop(channels, use_sigmoid, scale):
    logits = scale * torch.randn(2, channels, 3, 5, dtype=torch.float64)
    label, confidence = pseudo_label(logits, use_sigmoid)
    assert label.dtype == torch.int64
    for n, h, w in itertools.product(*map(range, (2, 3, 5))):
        one, sure = by_hand(logits[n, :, h, w].tolist(), use_sigmoid)
        assert label[n, h, w] == one
        assert float(confidence[n, h, w]) == pytest.approx(sure, rel=SUMMED)


def test_logits_that_overflow():
    logits = torch.tensor([[[1e4, -1e4], [0.0, 0.0]]])
    label, confidence = pseudo_label(logits)
    assert label.tolist() == [[0, 1]]
    assert confidence.tolist() == [[1.0, 1.0]]


def test_share_of_confident_pixels_by_hand():
    """Two of three; none of none is 0, as the weight of a loss must be."""
    valid = torch.tensor([[True, True], [True, False]])
    confident = torch.tensor([[True, True], [False, False]])
    assert confident_share(confident, valid).item() == pytest.approx(2 / 3)
    nothing = torch.zeros_like(valid)
    assert confident_share(nothing, nothing) == 0


def sides(boxes: torch.Tensor) -> torch.Tensor:
    """Height and width of each box; fails where it is not a rectangle."""
    found = []
    for box in boxes:
        lines = box.any(1).nonzero(), box.any(0).nonzero()
        height, width = map(len, lines)
        assert box.sum() == height * width
        for line in lines:
            assert int(line.max() - line.min()) + 1 == len(line)
        found.append((height, width))
    return torch.tensor(found)


def test_boxes_have_the_areas_and_shapes_of_the_recipe():
    """2 to 40 % of the image, height over width from 0.3 to its inverse."""
    found = sides(cutmix_boxes(500, (400, 400), prob=1.0))
    areas = found.prod(1) / 160_000
    aspects = found[:, 0] / found[:, 1]
    assert ((areas > 0.019) & (areas <= 0.4)).all()
    assert ((aspects > 0.29) & (aspects < 1 / 0.29)).all()
    # uniform, but for the few that are longer than the image; the standard
    # errors of 500 boxes are 0.005, 0.019 and 0.03
    assert float(areas.mean()) == pytest.approx(0.21, abs=0.02)
    small = float((areas < 0.115).float().mean())
    assert small == pytest.approx(0.25, abs=0.06)  # three of them
    # symmetric; three of them
    assert float(aspects.log().mean()) == pytest.approx(0, abs=0.1)
    assert float((aspects > 1 / 0.45).float().mean()) > 0.1


def test_boxes_lie_anywhere():
    boxes = cutmix_boxes(2000, (20, 30), prob=1.0).float().mean(0)
    for axis in (0, 1):
        # of 2000 boxes, the standard error of a share is at most 0.011
        assert_close(boxes, boxes.flip(axis), rtol=0, atol=0.06)
    assert boxes[0, 0] > 0.01


@pytest.mark.parametrize('prob', [0.0, 0.5, 1.0])
def test_share_of_images_with_a_box(prob):
    chosen = cutmix_boxes(1000, (16, 16), prob).flatten(1).any(1)
    share = float(chosen.float().mean())
    # three standard errors of 1000 throws
    assert share == pytest.approx(prob, abs=0.05 if prob == 0.5 else 0)


def test_boxes_of_the_thinnest_images():
    assert len(sides(cutmix_boxes(20, (1, 50), 1.0))) == 20
    with pytest.raises(ValueError, match=r'prob in \[0, 1\], but got 3'):
        cutmix_boxes(1, (2, 2), prob=3)
    assert sides(cutmix_boxes(20, (1, 1), 1.0)).eq(1).all()


@pytest.mark.parametrize('channels', [(), (3,)])
@pytest.mark.parametrize('others', [True, False])
def test_boxes_come_from_the_image_before_or_from_others(channels, others):
    values = torch.arange(60 * (3 if channels else 1))
    values = values.view(3, *channels, 4, 5)
    before = values.clone()
    source = values + 1000 if others else None
    boxes = torch.rand(3, 4, 5) < 0.5
    mixed = paste(values, boxes, source)
    for n, h, w in itertools.product(*map(range, boxes.shape)):
        pasted = source[n] if others else values[n - 1]
        expected = pasted if boxes[n, h, w] else values[n]
        assert torch.equal(mixed[n, ..., h, w], expected[..., h, w])
    assert torch.equal(values, before)


class NoWait(TorchDispatchMode):
    """Refuses what lets the host wait for numbers of a GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        waits = '_local_scalar_dense', 'nonzero', 'bincount', 'masked_select'
        assert not any(name in str(func) for name in waits), func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('classes', [2, 5])
def test_figures_are_those_of_torchmetrics(classes):
    """Labels out of range and other pixels that do not count are left out."""
    prediction = torch.randint(classes, (2, 16, 16))
    label = torch.randint(classes + 1, (2, 16, 16))  # one class too many
    label[0, :4] = 255
    label[1, :4] = -1
    counted = torch.rand(2, 16, 16) < 0.7
    keep = counted & (label >= 0) & (label < classes)
    with NoWait():
        masked = label.masked_fill(~counted, 255)
        counts = region_counts(prediction, masked, classes, check=False)
        found = mean_iou(counts).float()
        right = pixel_accuracy(prediction, label, keep)
    given = prediction[keep], label[keep], 'multiclass'
    options = dict(num_classes=classes)
    assert_close(found, jaccard_index(*given, average='macro', **options))
    assert_close(right, accuracy(*given, average='micro', **options))
    assert pixel_accuracy(prediction, label, ~(keep | ~keep)).isnan()


def test_mean_iou_leaves_out_classes_that_do_not_occur():
    prediction, label = torch.tensor([[0, 0, 3]]), torch.tensor([[0, 3, 3]])
    assert mean_iou(region_counts(prediction, label, 9)) == 0.5
    nothing = region_counts(prediction, label.fill_(255), 9)
    assert mean_iou(nothing).isnan()


@pytest.mark.parametrize(
    ('channels', 'use_sigmoid'), [(1, True), (4, True), (4, False)]
)
def test_certain_logits_are_a_hard_label(channels, use_sigmoid):
    """Their probabilities are 0 and 1, and so is the confidence."""
    label = torch.randint(max(channels, 2), (2, 3, 5))
    logits = certain_logits(label, channels, use_sigmoid)
    assert logits.shape == (2, channels, 3, 5)
    assert logits.dtype == torch.float32
    found, confidence = pseudo_label(logits, use_sigmoid)
    assert torch.equal(found, label)
    assert (confidence == 1).all()
    hard = torch.nn.functional.one_hot(label, max(channels, 2)).movedim(-1, 1)
    soft = logits.sigmoid() if use_sigmoid else logits.softmax(1)
    assert torch.equal(soft, hard[:, -channels:].float())


def test_threshold_is_that_of_a_loop():
    """Over batches, some without a pixel that counts, in float64."""
    classes, momentum, expected = 4, 0.9, 0.85
    threshold = torch.tensor(expected)
    for step in range(5):
        confidence = torch.rand(2, 6, 6)
        label = torch.randint(classes - 1, (2, 6, 6))
        counted = (torch.rand(2, 6, 6) < 0.3) & (step != 2)
        with NoWait():
            maxima = class_maxima(confidence, label, counted, classes)
            threshold = running_threshold(threshold, maxima, momentum)
        highest = {}
        pixels = confidence[counted].tolist(), label[counted].tolist()
        for value, c in zip(*pixels):
            highest[c] = max(value, highest.get(c, 0.0))
        if highest:
            mean = sum(highest.values()) / len(highest)
            expected = momentum * expected + (1 - momentum) * mean
        assert float(threshold) == pytest.approx(expected, rel=FLOAT32)
        every = [highest.get(c, 0.0) for c in range(classes)]
        assert maxima.tolist() == pytest.approx(every)
