"""What the walk over the shipped configs does not meet."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from mmseg_jml.config import replace_pixel_loss


def segmentor(**heads) -> Config:
    return Config(dict(model=dict(type='EncoderDecoder', **heads)))


def test_entry_keeps_its_other_keys():
    entry = dict(
        type='CrossEntropyLoss', use_sigmoid=True, class_weight=[1, 2]
    )
    cfg = segmentor(decode_head=dict(type='FCNHead', loss_decode=entry))
    replace_pixel_loss(cfg, 'JaccardMetricCELoss')
    assert cfg.model.decode_head.loss_decode == dict(
        type='mmseg_jml.JaccardMetricCELoss',
        use_sigmoid=True,
        class_weight=[1, 2],
    )


def test_other_losses_stay():
    cfg = segmentor(
        decode_head=dict(
            type='EncHead',
            loss_se_decode=dict(type='CrossEntropyLoss', use_sigmoid=True),
            loss_decode=[
                dict(type='DiceLoss'),
                dict(type='mmseg.CrossEntropyLoss'),
            ],
        )
    )
    assert replace_pixel_loss(cfg, 'mmseg_jml.JaccardMetricLoss') == {
        'model.decode_head.loss_decode.1': 'CrossEntropyLoss'
    }
    head = cfg.model.decode_head
    assert head.loss_se_decode.type == 'CrossEntropyLoss'
    assert head.loss_decode[0].type == 'DiceLoss'


def test_auxiliary_heads_on_request():
    ce = dict(type='CrossEntropyLoss')
    cfg = segmentor(
        decode_head=dict(type='FCNHead', loss_decode=ce),
        auxiliary_head=[
            dict(type='FCNHead', loss_decode=ce),
            dict(type='STDCHead', loss_decode=[ce]),
        ],
    )
    assert replace_pixel_loss(cfg, 'JaccardMetricLoss') == {
        'model.decode_head.loss_decode': 'CrossEntropyLoss'
    }
    assert cfg.model.auxiliary_head[0].loss_decode == ce
    assert replace_pixel_loss(
        cfg, 'JaccardMetricLoss', ['decode_head', 'auxiliary_head']
    ) == {'model.auxiliary_head.0.loss_decode': 'CrossEntropyLoss'}


def test_types_may_be_classes():
    from mmseg.models.decode_heads import FCNHead
    from mmseg.models.losses import CrossEntropyLoss

    entry = dict(type=CrossEntropyLoss)
    cfg = segmentor(decode_head=dict(type=FCNHead, loss_decode=entry))
    replace_pixel_loss(cfg, 'JaccardMetricLoss')
    assert (
        cfg.model.decode_head.loss_decode.type == 'mmseg_jml.JaccardMetricLoss'
    )


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (Config(), 'in model.decode_head but got no such head'),
        (segmentor(), 'in model.decode_head but got no such head'),
        (
            segmentor(decode_head=dict(type='FCNHead')),
            'got FCNHead with no loss_decode entry',
        ),
        (
            segmentor(
                decode_head=dict(
                    type='FCNHead',
                    loss_decode=[
                        dict(type='DiceLoss'),
                        dict(type='FocalLoss'),
                    ],
                )
            ),
            'got FCNHead with DiceLoss, FocalLoss',
        ),
    ],
)
def test_refusal_names_what_is_there(cfg, message):
    with pytest.raises(ValueError, match=message):
        replace_pixel_loss(cfg, 'JaccardMetricLoss')


@pytest.mark.parametrize(
    'name', ['Jaccard', 'mmseg.JaccardMetricLoss', 'KLDivergenceLoss', '']
)
def test_unknown_loss(name):
    cfg = segmentor(decode_head=dict(loss_decode=dict(type='DiceLoss')))
    with pytest.raises(ValueError, match='JaccardMetricLoss.* but got'):
        replace_pixel_loss(cfg, name)
