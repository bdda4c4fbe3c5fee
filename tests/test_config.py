"""What the walk over the shipped configs does not meet."""

import pytest
from mmengine.config import Config

from mmseg_jml.config import replace_pixel_loss

CE = dict(type='CrossEntropyLoss')
NEW = 'JaccardMetricLoss'


def segmentor(*losses, **others) -> Config:
    """A model whose main head has one entry, or a list of several."""
    entry = losses[0] if len(losses) == 1 else list(losses)
    head = dict(type='FCNHead', loss_decode=entry)
    return Config(dict(model=dict(decode_head=dict(head, **others))))


def test_entry_keeps_its_other_keys():
    kept = dict(use_sigmoid=True, class_weight=[1, 2])
    cfg = segmentor(dict(CE, **kept))
    replace_pixel_loss(cfg, NEW)
    expected = dict(kept, type='mmseg_jml.JaccardMetricLoss')
    assert cfg.model.decode_head.loss_decode == expected


def test_other_losses_stay():
    se = dict(CE, use_sigmoid=True)
    ours = dict(type='mmseg.CrossEntropyLoss')
    cfg = segmentor(dict(type='DiceLoss'), ours, loss_se_decode=se)
    assert replace_pixel_loss(cfg, 'mmseg_jml.JaccardMetricLoss') == {
        'model.decode_head.loss_decode.1': 'CrossEntropyLoss'
    }
    head = cfg.model.decode_head
    assert head.loss_se_decode.type == 'CrossEntropyLoss'
    assert head.loss_decode[0].type == 'DiceLoss'


def test_auxiliary_heads_on_request():
    cfg = segmentor(CE)
    cfg.model.auxiliary_head = [
        dict(type='FCNHead', loss_decode=CE),
        dict(type='STDCHead', loss_decode=[CE]),
    ]
    assert replace_pixel_loss(cfg, NEW) == {
        'model.decode_head.loss_decode': 'CrossEntropyLoss'
    }
    assert cfg.model.auxiliary_head[0].loss_decode == CE
    heads = ['decode_head', 'auxiliary_head']
    assert replace_pixel_loss(cfg, NEW, heads) == {
        'model.auxiliary_head.0.loss_decode': 'CrossEntropyLoss'
    }


def test_types_may_be_classes():
    from mmseg.models.decode_heads import FCNHead
    from mmseg.models.losses import CrossEntropyLoss

    cfg = segmentor(dict(type=CrossEntropyLoss), type=FCNHead)
    replace_pixel_loss(cfg, NEW)
    entry = cfg.model.decode_head.loss_decode
    assert entry.type == 'mmseg_jml.JaccardMetricLoss'


NOWHERE = 'in model.decode_head but got no such head'
OTHERS = dict(type='DiceLoss'), dict(type='FocalLoss')


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        ({}, NOWHERE),
        (dict(model=dict(type='EncoderDecoder')), NOWHERE),
        (
            dict(model=dict(decode_head=dict(type='FCNHead'))),
            'got FCNHead with no loss_decode entry',
        ),
        (segmentor(*OTHERS).to_dict(), 'got FCNHead with DiceLoss, FocalLoss'),
    ],
)
def test_refusal_names_what_is_there(model, message):
    with pytest.raises(ValueError, match=message):
        replace_pixel_loss(Config(model), NEW)


@pytest.mark.parametrize(
    'name', ['Jaccard', 'mmseg.JaccardMetricLoss', 'KLDivergenceLoss', '']
)
def test_unknown_loss(name):
    with pytest.raises(ValueError, match='JaccardMetricLoss.* but got'):
        replace_pixel_loss(segmentor(CE), name)
