"""The configs of the demo differ in what the demo is about."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

CONFIGS = sorted((Path(__file__).parents[2] / 'configs/demo').glob('*.py'))
LOSSES = {
    '1xb16-1400': dict(type='CrossEntropyLoss'),
    '1xb16-jml-ce-1400': dict(type='mmseg_jml.JaccardMetricCELoss'),
    '1xb16-jml-ce-bls-1400': dict(
        type='mmseg_jml.JaccardMetricCELoss',
        label_smoothing=dict(mode='boundary', epsilon=0.5, kernel_size=3),
    ),
}


def test_only_the_loss_entry_differs():
    rest = []
    for path in CONFIGS:
        cfg = Config.fromfile(path)
        entry = cfg.model.decode_head.pop('loss_decode').to_dict()
        stock = dict(use_sigmoid=False, loss_weight=1.0)
        assert entry == {**stock, **LOSSES[path.stem.split('_')[2]]}
        rest.append(cfg.to_dict())
    assert len(rest) == len(LOSSES)
    assert all(other == rest[0] for other in rest)


def test_all_else_is_stock():
    """The dataset and the resuming hook are the only classes of ours."""
    text = Config.fromfile(CONFIGS[0]).pretty_text
    assert set(re.findall(r'mmseg_jml\.(\w+)', text)) - {
        'JaccardMetricCELoss'
    } == {'DigitScenesDataset', 'ExactResumeHook'}


@pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``')
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_builds(path):
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(path).model)
    assert sum(p.numel() for p in model.parameters()) < 300_000
