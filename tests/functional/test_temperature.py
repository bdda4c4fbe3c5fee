"""The fitted temperature against an optimiser of the whole NLL."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.testing import assert_close

from mmseg_jml.functional import CalibrationOptions, pixel_chunks
from tests.functional.on_device import (
    calibration_figures,
    calibration_state,
    fit_temperature,
    temperature_sums,
)
from tests.tolerances import FIGURES, FITTED

KINDS = pytest.mark.parametrize('kind', ['logits', 'sigmoid', 'probabilities'])


def noisy(temperature, pixels=4000):
    """Logits that are too certain by a factor, with labels drawn from them."""
    logits = 2 * torch.randn(5, pixels, dtype=torch.float64)
    label = torch.distributions.Categorical(logits=logits.T).sample()
    return temperature * logits, label


def entropy(logits, label, kind, temperature):
    if kind == 'sigmoid':
        onehot = F.one_hot(label, len(logits)).T.double()
        return F.binary_cross_entropy_with_logits(logits / temperature, onehot)
    return F.cross_entropy(logits.T / temperature, label)


def optimised(logits, label, kind):
    """The best temperature by bisection of the derivative of autograd."""
    low, high = math.log(0.05), math.log(20)
    for _ in range(60):
        middle = torch.tensor((low + high) / 2).double().requires_grad_()
        loss = entropy(logits, label, kind, middle.exp())
        (slope,) = torch.autograd.grad(loss, middle)
        low, high = (
            (middle.item(), high) if slope < 0 else (low, middle.item())
        )
    return math.exp(low)


@KINDS
@pytest.mark.parametrize('temperature', [0.3, 1.0, 3.5])
def test_temperature_of_the_lowest_nll(temperature, kind):
    logits, label = noisy(temperature)
    scores = logits.softmax(0) if kind == 'probabilities' else logits
    fitted = fit_temperature(temperature_sums(scores, label, kind=kind))
    assert fitted == pytest.approx(optimised(logits, label, kind), rel=FITTED)
    if kind != 'sigmoid':
        # four thousand pixels tell it to a few percent
        assert fitted == pytest.approx(temperature, rel=0.1)


def test_sums_of_images_are_the_sums_of_all_pixels(monkeypatch):
    logits, label = noisy(2.0)
    whole = temperature_sums(logits, label)
    first = temperature_sums(logits[:, :1000], label[:1000])
    both = first.plus(temperature_sums(logits[:, 1000:], label[1000:]))
    assert_close(both.slope, whole.slope)
    assert_close(both.curvature, whole.curvature)
    for limit in ('_CHUNK_ON_CPU', '_CHUNK_ON_GPU'):
        monkeypatch.setattr(pixel_chunks, limit, 55)
    assert_close(temperature_sums(logits, label).slope, whole.slope)


def test_ignored_pixels_change_nothing():
    logits, label = noisy(2.0)
    whole = fit_temperature(temperature_sums(logits[:, 100:], label[100:]))
    logits[:, :100], label[:100] = math.nan, 255
    fitted = fit_temperature(temperature_sums(logits, label))
    assert fitted == pytest.approx(whole, rel=FIGURES)


@KINDS
def test_temperature_of_the_figures(kind):
    """They are those of the scores divided beforehand."""
    logits, label = noisy(2.0)
    scores, divided = logits, logits / 2
    if kind == 'probabilities':
        scores, divided = scores.softmax(0), divided.softmax(0)
    options = CalibrationOptions(temperature=2.0)
    state = calibration_state(scores, label, kind=kind, options=options)
    ours = calibration_figures([state], options)
    state = calibration_state(divided, label, kind=kind)
    assert ours == pytest.approx(calibration_figures([state]), abs=FIGURES)


@pytest.mark.parametrize(('label', 'expected'), [(0, 0.1), (1, 10)])
def test_best_temperature_beyond_the_range(label, expected):
    logits = torch.tensor([[5.0, 5.0], [0.0, 0.0]])
    sums = temperature_sums(logits, torch.tensor([label, label]))
    assert fit_temperature(sums) == expected


def test_nothing_counted():
    sums = temperature_sums(torch.randn(3, 2), torch.tensor([255, 255]))
    assert math.isnan(fit_temperature(sums))


def test_kind_that_cannot_be():
    with pytest.raises(ValueError, match="kind to be .* but got 'logit'"):
        temperature_sums(torch.ones(2, 1), torch.zeros(1), kind='logit')
