"""Calibration against recorded figures and float64 loops."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.testing import assert_close

from mmseg_jml.functional import CalibrationOptions, pixel_chunks
from tests.functional.on_device import (
    bin_means,
    calibration_figures,
    calibration_state,
    confidence_sums,
    equal_mass_bins,
)
from tests.metric_oracles import RECORDED, assert_same, recorded
from tests.metric_oracles import calibration_figures as loop_figures
from tests.tolerances import EXACT, FIGURES, ROUNDED_FIGURES


def noisy(images=6, classes=5, size=16, ignored=0.1):
    """Logits and labels that agree somewhat; the logits are overconfident."""
    logits = 3 * torch.randn(images, classes, size, size)
    noise = torch.randint(0, classes, (images, size, size))
    other = torch.rand(noise.shape) < 0.5
    label = torch.where(other, noise, logits.argmax(1))
    label[torch.rand(label.shape) < ignored] = 255
    return logits, label


def figures(scores, label, kind='logits', **options):
    options = CalibrationOptions(**options)
    states = [
        calibration_state(s, y, kind=kind, options=options)
        for s, y in zip(scores, label)
    ]
    return calibration_figures(states, options)


def test_means_of_bins_by_hand():
    """Four pixels at 0.6, three of them hits; and a bin without a pixel."""
    bins = torch.tensor([[4.0, 0.0], [2.4, 0.0], [3.0, 0.0]])
    confidence, accuracy = bin_means(bins)
    nan = math.nan
    assert_close(confidence, torch.tensor([0.6, nan]), equal_nan=True)
    assert_close(accuracy, torch.tensor([0.75, nan]), equal_nan=True)


@RECORDED
def test_recorded_figures(case):
    """By the authors' SCE; the ECE is the same by default."""
    prob, label = recorded(case)
    theirs = {k: v for k, v in case['results'].items() if 'CE' in k}
    same = dict(kind='probabilities', num_bins=case['num_bins'])
    ours = figures(prob, label, sce='authors', **same)
    assert len(theirs) == 4
    assert_same({name: ours[name] for name in theirs}, theirs, ROUNDED_FIGURES)
    default = figures(prob, label, **same)
    for name in ('ECED', 'ECEI'):
        assert default[name] == pytest.approx(ours[name], abs=FIGURES)
    # theirs, in permille, misses the hits that are not predicted
    assert 10 * default['SCED'] < 0.9 * theirs['SCED']


@pytest.mark.parametrize('num_bins', [1, 10, 15])
@pytest.mark.parametrize('kind', ['logits', 'probabilities'])
def test_figures_by_loops(kind, num_bins):
    logits, label = noisy()
    label[3] = 255
    prob = logits.double().softmax(1)
    scores = logits.double() if kind == 'logits' else 7 * prob
    ours = figures(scores, label, kind=kind, num_bins=num_bins)
    data = prob.flatten(2).numpy(), label.flatten(1)
    assert_same(ours, loop_figures(*data, num_bins), FIGURES)


def test_sigmoid_heads():
    """Bins are those of the sigmoids; the NLL is the sum of binary ones."""
    logits, label = noisy(ignored=0)
    ours = figures(logits, label, kind='sigmoid')
    prob = logits.double().sigmoid()
    theirs = loop_figures(prob.flatten(2).numpy(), label.flatten(1))
    onehot = F.one_hot(label, 5).movedim(-1, 1).float()
    # the mean over five classes
    nll = F.binary_cross_entropy_with_logits(logits, onehot)
    theirs['NLL'] = 5 * nll.item()
    assert_same(ours, theirs, ROUNDED_FIGURES)


@pytest.mark.parametrize('binning', ['equal_width', 'equal_mass'])
def test_ignored_pixels_and_images_change_nothing(binning):
    logits, label = noisy()
    ours = figures(logits, label, binning=binning)
    changed = logits.masked_fill((label == 255)[:, None], math.nan)
    assert_same(figures(changed, label, binning=binning), ours, FIGURES)
    more = torch.cat([changed, logits[:1]])
    label = torch.cat([label, torch.full_like(label[:1], 255)])
    assert_same(figures(more, label, binning=binning), ours, FIGURES)


def test_chunks_change_nothing(monkeypatch):
    logits, label = noisy()
    whole = figures(logits.double(), label)
    for limit in ('_CHUNK_ON_CPU', '_CHUNK_ON_GPU'):
        monkeypatch.setattr(pixel_chunks, limit, 40)
    assert_same(figures(logits.double(), label), whole, FIGURES)


def test_ignored_label_of_the_caller():
    logits, label = noisy()
    label[label == 255] = 0
    expected = confidence_sums(logits[0], label[0].where(label[0] != 1, 255))
    sums = confidence_sums(logits[0], label[0], ignore_index=1)
    assert_close(sums, expected, **EXACT)
    sums = confidence_sums(logits[0], label[0], ignore_index=None)
    assert sums.top[0].sum() == label[0].numel()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_scores_are_read_in_full(dtype):
    logits, label = noisy()
    logits = logits.to(dtype)
    ours, theirs = (figures(x, label) for x in (logits, logits.float()))
    assert_same(ours, theirs, FIGURES)


def test_prediction_of_the_caller():
    """The bins are those of the class that was predicted, however it was."""
    prob = torch.tensor([[0.65, 0.9], [0.35, 0.1]])
    given = torch.tensor([1, 1]), torch.tensor([1, 0])
    sums = confidence_sums(prob, *given, kind='probabilities')
    count, confidences, hits = sums.top
    assert count.nonzero().flatten().tolist() == [3, 9]
    assert_close(confidences[3], torch.tensor(0.35).double())
    assert hits.nonzero().flatten().tolist() == [3]
    logits, label = noisy()
    for one, prediction in zip(logits, logits.argmax(1)):
        given = confidence_sums(one, label[0], prediction)
        assert_close(given, confidence_sums(one, label[0]), **EXACT)


def test_equal_mass_bins_are_runs_of_the_sorted_pixels():
    """Cut the sorted confidences where the bins say, and find their sums."""
    logits, label = noisy(images=1, size=64, ignored=0)
    options = CalibrationOptions(binning='equal_mass')
    state = calibration_state(logits[0], label[0], options=options)
    prob = logits[0].double().softmax(0).flatten(1)
    label = label[0].flatten()
    top, classes = state.bins(options)
    confidences, winner = prob.max(0)
    pairs = [(top, confidences, winner == label)]
    pairs += [(classes[c], prob[c], label == c) for c in range(5)]
    for (count, total, hits), p, hit in pairs:
        runs = p.argsort().split(count.long().tolist())
        sums = torch.stack([p[run].sum() for run in runs])
        # cells are sums in float32 of up to 4096 probabilities
        assert_close(total.double(), sums, rtol=0, atol=1e-3)
        right = torch.stack([hit[run].sum() for run in runs])
        assert (hits - right).abs().max() <= 1
    # 409.6 pixels a bin, up to the pixels of a narrow cell
    assert (top[0] - 409.6).abs().max() < 0.1 * 409.6


@pytest.mark.parametrize('expected', [[4.0, 4, 0, 8], [8.0, 8], [16.0]])
def test_equal_mass_by_hand(expected):
    """A cell is not cut: one with half the mass fills two bins of four."""
    cells = torch.tensor([4.0, 0, 2, 2, 8]).expand(3, 5)
    bins = equal_mass_bins(cells, len(expected))
    assert bins.tolist() == [expected] * 3


def test_nothing_counted():
    logits, label = noisy(ignored=1)
    assert all(math.isnan(value) for value in figures(logits, label).values())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(binning='mass'), "binning to be one of .* but got 'mass'"),
        (dict(sce='paper'), "sce to be one of .* but got 'paper'"),
        (dict(num_bins=0), 'num_bins .* 1 or more, but got 0'),
        (dict(num_bins=2.5), 'num_bins .* whole number .* got 2.5'),
        (dict(temperature=math.inf), 'temperature to be finite'),
        (dict(temperature=0), 'temperature to be above 0, but got 0'),
    ],
)
def test_options_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        CalibrationOptions(**change)


def test_figures_of_no_image():
    with pytest.raises(ValueError, match='one image or more, but got 0'):
        calibration_figures([])


@pytest.mark.parametrize(
    ('scores', 'label', 'kind', 'message'),
    [
        (torch.ones(1, 4), [0] * 4, 'logits', r'got \(1, 4\) and \(4,\)'),
        (torch.ones(2, 4), [0] * 3, 'logits', r'got \(2, 4\) and \(3,\)'),
        (torch.ones(2, 1), [7], 'logits', r'\[0, 2\) .* got \[7\]'),
        (torch.full((2, 1), math.nan), [0], 'logits', 'NaN or inf'),
        (torch.ones(2, 1), [0], 'logit', "kind to be .* but got 'logit'"),
    ],
)
def test_images_that_cannot_be(scores, label, kind, message):
    with pytest.raises(ValueError, match=message):
        calibration_state(scores, torch.tensor(label), kind=kind)
