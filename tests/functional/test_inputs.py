"""What users see when what they pass does not fit."""

import itertools
import math

import pytest
import torch

from mmseg_jml.functional import RegionLossOptions
from tests.functional.on_device import (
    boundary_mask,
    jaccard_metric_loss,
    smooth_label,
)

LOGITS = torch.zeros(2, 3, 4, 4)
LABEL = torch.zeros(2, 4, 4, dtype=torch.long)
SOFT = torch.full((2, 3, 4, 4), 1 / 3)


def of(logits, target, **keywords):
    return logits, target, keywords


def label_of(value, **keywords):
    return of(LOGITS, torch.full_like(LABEL, value), **keywords)


def with_label(**keywords):
    return of(LOGITS, LABEL, **keywords)


# What is said of logits, a target and other arguments.
TYPE_ERRORS = {
    r'float logits .* got torch.int64 of shape \(2, 3, 4, 4\)': of(
        LOGITS.long(), LABEL
    ),
    r'to hold integers, but got torch.float32 .*target.long\(\)': of(
        LOGITS, LABEL.float()
    ),
    'float probabilities': of(LOGITS, SOFT.long()),
    'pred to be a tensor, but got ndarray': of(LOGITS.numpy(), LABEL),
    'target to be a tensor, or a target of mmseg_jml.kernels, but got None': (
        of(LOGITS, None)
    ),
    'or a target of .* but got ndarray': of(LOGITS, LABEL.numpy()),
    'weight to be a tensor, but got list': with_label(weight=[1.0]),
    "avg_factor to be a number, but got 'x'": with_label(avg_factor='x'),
    "ignore_index to be an integer, but got 'x'": with_label(ignore_index='x'),
}
VALUE_ERRORS = {
    'at least 2 channels .* takes use_sigmoid=True': of(LOGITS[:, :1], LABEL),
    r'hard label of shape \(2, 4, 4\) or a soft label of shape '
    r'\(2, 3, 4, 4\) .* got torch.int64 of shape \(2, 2, 4\)': of(
        LOGITS, LABEL[:, :2]
    ),
    r'shape \(2, 2, 4, 4\)': of(LOGITS, SOFT[:, :2]),
    r'in \[0, 3\) or ignore_index=255, but got \[3\]; check num_cl': (
        label_of(3)
    ),
    r'but got \[-1\]': label_of(-1),
    r'\[255\]': label_of(255, ignore_index=None),
    r'labels in \[0, 2\)': of(LOGITS[:, :1], LABEL + 2, use_sigmoid=True),
    'sum to 1 over the classes, but got a sum that is off by 1;': of(
        LOGITS, SOFT * 2
    ),
    r'soft labels in \[0, 1\], but got': of(LOGITS, SOFT - 0.5),
    'look like class indices': of(LOGITS, SOFT.round() + 7),
    'from nan to nan': of(LOGITS, SOFT * float('nan')),
    r'of shape \(2, 4, 4\), .* got torch.float32 of shape \(2, 4\)': (
        with_label(weight=torch.ones(2, 4))
    ),
    'weight to be at least 0, but got -1': with_label(weight=LABEL - 1.0),
    'class_weight to have 3 numbers, .* but got 2': with_label(
        class_weight=torch.ones(2)
    ),
    "impl to be 'auto' or one of .* but got 'fast'": with_label(impl='fast'),
    'avg_factor to be at least 0, but got -1': with_label(avg_factor=-1),
    'ce_weight to be at least 0, but got -1': with_label(ce_weight=-1),
    'ce_weight or jml_weight to be above 0': with_label(jml_weight=0),
    r'active classes below 3.*\[0, 3\]': with_label(
        options=RegionLossOptions(active_classes_mode_hard=[0, 3])
    ),
}


@pytest.mark.parametrize('message', [*TYPE_ERRORS, *VALUE_ERRORS])
def test_message(message):
    error = TypeError if message in TYPE_ERRORS else ValueError
    logits, target, rest = {**TYPE_ERRORS, **VALUE_ERRORS}[message]
    with pytest.raises(error, match=message):
        jaccard_metric_loss(logits, target, check=True, **rest)


OPTION_ERRORS = {
    'alpha to be at least 0, but got -1': dict(alpha=-1),
    'beta to be above 0 where alpha is 0': dict(alpha=0, beta=0),
    'gamma to be at least 1, but got 0.5': dict(gamma=0.5),
    'norm to be at least 1, but got 0': dict(norm=0),
    'smooth to be at least 0': dict(smooth=-1e-3),
    'alpha to be finite, but got inf': dict(alpha=math.inf),
    'mIoUI to be at least 0, but got nan': dict(mIoUI=math.nan),
    'smooth to be above 0 with log_loss': dict(smooth=0, log_loss=True),
    'alpha to be equal to beta=0 with log_loss=True .* but got 1.0': dict(
        norm=3, beta=0, log_loss=True
    ),
    'alpha to be at most 1 away from beta=0.5 with norm=2': dict(
        alpha=1.6, beta=0.5, norm=2
    ),
    "alpha to be at most 0 away from beta=0.5 .* variant='jml2'": dict(
        beta=0.5, norm=3, variant='jml2'
    ),
    "variant to be 'jml1' or 'jml2', but got 'jml3'": dict(variant='jml3'),
    'mIoUD to be above 0 where mIoUI and mIoUC are 0': dict(mIoUD=0),
    r'threshold to be in \[0, 1\), but got 1.0': dict(threshold=1.0),
    "active_classes_mode_hard .*'SOM": dict(active_classes_mode_hard='SOME'),
    r'active_classes_mode_soft .*\[\]': dict(active_classes_mode_soft=[]),
    'active_classes_mode_hard .* got 3': dict(active_classes_mode_hard=3),
}


@pytest.mark.parametrize('message', OPTION_ERRORS)
def test_options(message):
    with pytest.raises(ValueError, match=message):
        RegionLossOptions(**OPTION_ERRORS[message])


def test_options_that_are_no_numbers():
    for name in ('alpha', 'gamma', 'threshold'):
        with pytest.raises(TypeError, match=f"{name} to be a number.*got '1'"):
            RegionLossOptions(**{name: '1'})


@pytest.mark.parametrize('variant', ['jml1', 'jml2'])
@pytest.mark.parametrize('norm', [1, 1.5, 2, 3])
def test_denominators_of_allowed_options_are_not_negative(norm, variant):
    """tp + alpha (P - T) + beta (Y - T), over a grid of p and y."""
    steps = torch.linspace(0, 1, 51, dtype=torch.float64)
    p, y = steps[:, None], steps
    true = (p**norm + y**norm - (p - y).abs() ** norm) / 2
    top = true if variant == 'jml1' else p * y
    allowed = 0
    for alpha, beta in itertools.product([0, 0.5, 1, 1.5, 2, 3], repeat=2):
        try:
            RegionLossOptions(alpha, beta, norm=norm, variant=variant)
        except ValueError:
            continue
        wrong = alpha * (p**norm - true) + beta * (y**norm - true)
        assert (top + wrong).min() >= -1e-15
        allowed += 1
    assert allowed >= 5


def test_smoothing_arguments():
    with pytest.raises(ValueError, match="'boundary', 'uniform'.*'edge'"):
        smooth_label(LABEL, 3, 'edge')
    for size in (1, 4):
        with pytest.raises(ValueError, match=f'kernel_size .* got {size}'):
            boundary_mask(LABEL, size)
    with pytest.raises(ValueError, match=r'shape \(N, H, W\)'):
        boundary_mask(LABEL[0])


def test_a_weight_of_zero_excuses_a_pixel_from_the_checks():
    target, weight = SOFT.clone(), torch.ones(2, 4, 4)
    target[:, :, 0] = weight[:, 0] = 0
    loss = jaccard_metric_loss(LOGITS, target, weight, check=True)
    assert loss.isfinite()


def test_checks_can_be_switched_off():
    assert jaccard_metric_loss(LOGITS, SOFT * 2, check=False).isfinite()
