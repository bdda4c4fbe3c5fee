"""What users see when what they pass does not fit."""

import pytest
import torch

from mmseg_jml import functional
from mmseg_jml.functional import (
    RegionLossOptions,
    boundary_mask,
    smooth_label,
)
from tests.devices import on_device

jaccard_metric_loss = on_device(functional.jaccard_metric_loss)

LOGITS = torch.zeros(2, 3, 4, 4)
LABEL = torch.zeros(2, 4, 4, dtype=torch.long)
SOFT = torch.full((2, 3, 4, 4), 1 / 3)


def filled(value, like=LABEL):
    return torch.full_like(like, value)


@pytest.mark.parametrize(
    ('logits', 'target', 'keywords', 'error', 'message'),
    [
        (
            LOGITS.long(),
            LABEL,
            {},
            TypeError,
            r'float logits .* got torch.int64 of shape \(2, 3, 4, 4\)',
        ),
        (
            LOGITS[:, :1],
            LABEL,
            {},
            ValueError,
            r'at least 2 channels .* takes use_sigmoid=True',
        ),
        (
            LOGITS,
            LABEL.float(),
            {},
            TypeError,
            r'to hold integers, but got torch.float32 .*target.long\(\)',
        ),
        (
            LOGITS,
            LABEL[:, :2],
            {},
            ValueError,
            r'hard label of shape \(2, 4, 4\) or a soft label of shape '
            r'\(2, 3, 4, 4\) .* got torch.int64 of shape \(2, 2, 4\)',
        ),
        (LOGITS, SOFT[:, :2], {}, ValueError, r'shape \(2, 2, 4, 4\)'),
        (LOGITS, SOFT.long(), {}, TypeError, r'float probabilities'),
        (
            LOGITS,
            filled(3),
            {},
            ValueError,
            r'in \[0, 3\) or ignore_index=255, but got \[3\]; check num_cl',
        ),
        (LOGITS, filled(-1), {}, ValueError, r'but got \[-1\]'),
        (LOGITS, filled(255), dict(ignore_index=None), ValueError, r'\[255\]'),
        (
            LOGITS[:, :1],
            filled(2),
            dict(use_sigmoid=True),
            ValueError,
            r'labels in \[0, 2\)',
        ),
        (
            LOGITS,
            SOFT * 2,
            {},
            ValueError,
            r'sum to 1 over the classes, but got a sum that is off by 1;',
        ),
        (
            LOGITS,
            SOFT - 0.5,
            {},
            ValueError,
            r'soft labels in \[0, 1\], but got',
        ),
        (LOGITS, SOFT.round() + 7, {}, ValueError, r'look like class indices'),
        (LOGITS, SOFT * float('nan'), {}, ValueError, r'from nan to nan'),
        (
            LOGITS,
            LABEL,
            dict(weight=torch.ones(2, 4)),
            ValueError,
            r'of shape \(2, 4, 4\), .* got torch.float32 of shape \(2, 4\)',
        ),
        (
            LOGITS,
            LABEL,
            dict(weight=filled(-1).float()),
            ValueError,
            r'weight to be at least 0, but got -1',
        ),
        (
            LOGITS,
            LABEL,
            dict(class_weight=torch.ones(2)),
            ValueError,
            r'class_weight to have 3 numbers, .* but got 2',
        ),
        (
            LOGITS,
            LABEL,
            dict(impl='fast'),
            ValueError,
            r"impl to be 'auto' or one of .* but got 'fast'",
        ),
    ],
)
def test_message(logits, target, keywords, error, message):
    with pytest.raises(error, match=message):
        jaccard_metric_loss(logits, target, check=True, **keywords)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(alpha=-1), 'alpha to be at least 0, but got -1'),
        (dict(alpha=0, beta=0), 'beta to be above 0 where alpha is 0'),
        (dict(gamma=0.5), 'gamma to be at least 1, but got 0.5'),
        (dict(norm=0), 'norm to be at least 1, but got 0'),
        (dict(smooth=-1e-3), 'smooth to be at least 0'),
        (dict(smooth=0, log_loss=True), 'smooth to be above 0 with log_loss'),
        (
            dict(norm=3, beta=0, log_loss=True),
            'alpha to be equal to beta=0 with log_loss=True .* but got 1.0',
        ),
        (
            dict(variant='jml3'),
            "variant to be 'jml1' or 'jml2', but got 'jml3'",
        ),
        (dict(mIoUD=0), 'mIoUD to be above 0 where mIoUI and mIoUC are 0'),
        (dict(threshold=1.0), r'threshold to be in \[0, 1\), but got 1.0'),
        (
            dict(active_classes_mode_hard='SOME'),
            "active_classes_mode_hard .*'SOM",
        ),
        (
            dict(active_classes_mode_soft=[]),
            r'active_classes_mode_soft .*\[\]',
        ),
    ],
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        RegionLossOptions(**options)


def test_a_listed_class_must_exist():
    options = RegionLossOptions(active_classes_mode_hard=[0, 3])
    with pytest.raises(ValueError, match=r'active classes below 3.*\[0, 3\]'):
        jaccard_metric_loss(LOGITS, LABEL, options=options)


def test_smoothing_arguments():
    with pytest.raises(ValueError, match="'boundary', 'uniform'.*'edge'"):
        smooth_label(LABEL, 3, 'edge')
    for size in (1, 4):
        with pytest.raises(ValueError, match=f'kernel_size .* got {size}'):
            boundary_mask(LABEL, size)
    with pytest.raises(ValueError, match=r'shape \(N, H, W\)'):
        boundary_mask(LABEL[0])


def test_a_weight_of_zero_excuses_a_pixel_from_the_checks():
    target = SOFT.clone()
    target[:, :, 0] = 0
    weight = torch.ones(2, 4, 4)
    weight[:, 0] = 0
    loss = jaccard_metric_loss(LOGITS, target, weight, check=True)
    assert loss.isfinite()


def test_checks_can_be_switched_off():
    assert jaccard_metric_loss(LOGITS, SOFT * 2, check=False).isfinite()
