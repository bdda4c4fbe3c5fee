"""The loss equals plain loops over images, classes and pixels."""

import numpy as np
import pytest
import torch

from mmseg_jml import functional
from mmseg_jml.functional import RegionLossOptions
from tests.devices import on_device
from tests.oracles import ACTIVE, jaccard_loss, one_hot, softmax
from tests.tolerances import EXACT

jaccard_metric_loss = on_device(functional.jaccard_metric_loss)

SHAPE = (3, 4, 11)
OPTIONS = [
    {},
    dict(alpha=0.5, beta=0.5, smooth=0.0),
    dict(alpha=0.3, beta=0.9, gamma=1.7),
    dict(norm=2, smooth=1e-3),
    dict(norm=1.5),
    dict(variant='jml2', smooth=0.1),
    dict(log_loss=True, smooth=1e-3, gamma=2.0),
    dict(mIoUD=0.2, mIoUI=0.5, mIoUC=0.3),
    dict(mIoUD=0.0, mIoUI=1.0),
    dict(mIoUD=0.0, mIoUC=1.0, variant='jml2'),
]


def draw(seed, soft):
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


def expected(logits, label, weight, mode, options, class_weight=None):
    dense = label if label.ndim == 3 else one_hot(label, SHAPE[1])
    keywords = dict(smooth=1.0) | options
    return jaccard_loss(
        softmax(logits),
        dense,
        weight,
        ACTIVE[mode],
        class_weight=class_weight,
        **keywords,
    )


def value(
    logits, label, weight, mode, options, class_weight=None, impl='auto'
):
    modes = dict(active_classes_mode_hard=mode, active_classes_mode_soft=mode)
    if class_weight is not None:
        class_weight = torch.tensor(class_weight)
    return jaccard_metric_loss(
        torch.tensor(logits),
        torch.tensor(label),
        torch.tensor(weight),
        options=RegionLossOptions(**options, **modes),
        class_weight=class_weight,
        impl=impl,
    ).item()


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('options', OPTIONS, ids=str)
def test_options(options, soft, impl):
    data = draw(0, soft)
    for mode in ('PRESENT', 'ALL'):
        assert value(*data, mode, options, impl=impl) == pytest.approx(
            expected(*data, mode, options), abs=EXACT['atol']
        )


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('mode', ACTIVE)
def test_active_classes(mode, soft, impl):
    logits, label, weight = draw(1, soft)
    logits[:, 3] -= 12  # below the threshold in PROB
    levels = dict(mIoUD=0.2, mIoUI=0.5, mIoUC=0.3)
    assert value(
        logits, label, weight, mode, levels, impl=impl
    ) == pytest.approx(
        expected(logits, label, weight, mode, levels), abs=EXACT['atol']
    )


@pytest.mark.parametrize('soft', [False, True])
def test_class_weight_multiplies_terms(soft, impl):
    data = draw(2, soft)
    weights = [1.0, 0.5, 2.0, 0.0]
    levels = dict(mIoUD=0.2, mIoUI=0.5, mIoUC=0.3)
    assert value(*data, 'ALL', levels, weights, impl) == pytest.approx(
        expected(*data, 'ALL', levels, weights), abs=EXACT['atol']
    )


def test_listed_classes(impl):
    logits, label, weight = draw(3, True)
    result = value(logits, label, weight, [1, 3], {}, impl=impl)
    kept = [1, 3]
    oracle = jaccard_loss(
        softmax(logits)[:, kept],
        label[:, kept],
        weight,
        ACTIVE['ALL'],
        smooth=1.0,
    )
    assert result == pytest.approx(oracle, abs=EXACT['atol'])


@pytest.mark.parametrize('seed', range(3))
def test_sigmoid_heads_treat_classes_alone(seed, impl):
    logits, _, weight = draw(seed, False)
    label = np.random.default_rng(seed).uniform(0, 1, SHAPE)
    result = jaccard_metric_loss(
        torch.tensor(logits),
        torch.tensor(label),
        torch.tensor(weight),
        use_sigmoid=True,
        impl=impl,
    )
    oracle = jaccard_loss(
        1 / (1 + np.exp(-logits)), label, weight, ACTIVE['ALL'], smooth=1.0
    )
    assert result.item() == pytest.approx(oracle, abs=EXACT['atol'])


def test_one_channel_head_predicts_label_one(impl):
    logits, _, weight = draw(4, False)
    logits = logits[:, :1]
    label = np.random.default_rng(4).integers(0, 2, (3, 11))
    label[0, :4] = 255
    result = jaccard_metric_loss(
        torch.tensor(logits),
        torch.tensor(label),
        torch.tensor(weight),
        use_sigmoid=True,
        impl=impl,
    )
    oracle = jaccard_loss(
        1 / (1 + np.exp(-logits)),
        (label == 1)[:, None].astype(float),
        weight * (label != 255),
        ACTIVE['ALL'],
        smooth=1.0,
    )
    assert result.item() == pytest.approx(oracle, abs=EXACT['atol'])


@pytest.mark.parametrize('dims', [(), (5,), (4, 3), (2, 3, 2)])
def test_any_number_of_spatial_dimensions(dims, impl):
    rng = np.random.default_rng(7)
    logits = rng.normal(size=(2, 3, *dims))
    label = rng.integers(0, 3, (2, *dims))
    result = jaccard_metric_loss(
        torch.tensor(logits), torch.tensor(label), impl=impl
    )
    flat = label.reshape(2, -1)
    oracle = jaccard_loss(
        softmax(logits.reshape(2, 3, -1)),
        one_hot(flat, 3),
        np.ones(flat.shape),
        ACTIVE['PRESENT'],
        smooth=1.0,
    )
    assert result.item() == pytest.approx(oracle, abs=EXACT['atol'])
