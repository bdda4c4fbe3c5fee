"""The loss equals plain loops over images, classes and pixels."""

import numpy as np
import pytest
import torch

from tests.functional.on_device import LEVELS, loss_of
from tests.oracles import ACTIVE, jaccard_loss, one_hot, sigmoid, softmax
from tests.tolerances import SUMMED

SHAPE = (3, 4, 11)
OPTIONS = [
    {},
    LEVELS,
    dict(alpha=0.5, beta=0.5, smooth=0.0),
    dict(alpha=0.3, beta=0.9, gamma=1.7),
    dict(norm=2, smooth=1e-3),
    dict(norm=1.5),
    dict(variant='jml2', smooth=0.1),
    dict(log_loss=True, smooth=1e-3, gamma=2.0),
    dict(mIoUD=0.0, mIoUI=1.0),
    dict(mIoUD=0.0, mIoUC=1.0, variant='jml2'),
    dict(class_weight=torch.tensor([1, 0.5, 2, 0]).double(), **LEVELS),
]


def draw(seed, soft=False):
    """Logits, label, weights; the last image lacks two classes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, SHAPE)
    weight = rng.choice([0.0, 0.5, 1.0, 2.0], (SHAPE[0], SHAPE[2]))
    if soft:
        label = rng.dirichlet([0.3] * SHAPE[1], (SHAPE[0], SHAPE[2]))
        label = label.transpose(0, 2, 1).copy()
        label[2, 2:] = 0
        label[2] /= label[2].sum(0)
        return logits, label, weight
    label = rng.integers(0, SHAPE[1], (SHAPE[0], SHAPE[2]))
    label[2] = rng.integers(0, 2, SHAPE[2])
    return logits, label, weight


def by_loops(prob, label, weight, mode='ALL', smooth=1.0, **options):
    if label.ndim == 2:
        label = one_hot(label, prob.shape[1])
    options['smooth'] = smooth
    return float(jaccard_loss(prob, label, weight, ACTIVE[mode], **options))


def check(logits, label, weight, expected, **keywords):
    tensors = map(torch.tensor, (logits, label, weight))
    value = loss_of(*tensors, **keywords).item()
    assert value == pytest.approx(expected, abs=SUMMED)


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('mode', ACTIVE)
@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_options(options, mode, soft, impl):
    logits, label, weight = draw(0, soft)
    if 'log_loss' not in options:  # which magnifies rounding
        logits[:, 3] -= 12  # below the threshold in PROB
    expected = by_loops(softmax(logits), label, weight, mode, **options)
    check(logits, label, weight, expected, mode=mode, impl=impl, **options)


def test_listed_classes(impl):
    logits, label, weight = draw(3, True)
    kept = [1, 3]
    expected = by_loops(softmax(logits)[:, kept], label[:, kept], weight)
    check(logits, label, weight, expected, mode=kept, impl=impl)


@pytest.mark.parametrize('seed', range(3))
def test_sigmoid_heads_treat_classes_alone(seed, impl):
    logits, _, weight = draw(seed)
    label = np.random.default_rng(seed).uniform(0, 1, SHAPE)
    expected = by_loops(sigmoid(logits), label, weight)
    check(logits, label, weight, expected, use_sigmoid=True, impl=impl)


def test_one_channel_head_predicts_label_one(impl):
    logits, _, weight = draw(4)
    logits = logits[:, :1]
    label = np.random.default_rng(4).integers(0, 2, (3, 11))
    label[0, :4] = 255
    hot = one_hot(label, 2)[:, 1:]
    expected = by_loops(sigmoid(logits), hot, weight * (label != 255))
    check(logits, label, weight, expected, use_sigmoid=True, impl=impl)


@pytest.mark.parametrize('dims', [(), (5,), (4, 3), (2, 3, 2)])
def test_any_number_of_spatial_dimensions(dims, impl):
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(2, 3, *dims))
    label = rng.integers(0, 3, (2, *dims))
    weight = np.ones(label.shape)
    flat = label.reshape(2, -1), weight.reshape(2, -1)
    expected = by_loops(softmax(logits.reshape(2, 3, -1)), *flat, 'PRESENT')
    check(logits, label, weight, expected, impl=impl)
