"""Which parameters decay, and how fast each learns."""

from __future__ import annotations

import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

import mmseg_jml  # noqa: F401 (lets mmseg import)


class Model(nn.Module):
    """A backbone and a head with all that has one dimension."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.backbone.scale = nn.Parameter(self.backbone[0].bias.detach())
        self.head = nn.Sequential(nn.Conv2d(4, 4, 1), nn.LayerNorm(4))


def groups(**paramwise) -> dict[str, tuple]:
    """Returns rate and decay of each parameter."""
    model = Model()
    names = {id(p): name for name, p in model.named_parameters()}
    config = dict(
        constructor='mmseg_jml.FlatDecayConstructor',
        optimizer=dict(type='AdamW', lr=0.001, weight_decay=0.1),
        paramwise_cfg=paramwise,
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        wrapper = build_optim_wrapper(model, config)
    found = {
        names[id(group['params'][0])]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
    }
    assert found.keys() == {*names.values()}
    return found


def test_only_matrices_decay_in_head_and_backbone():
    found = groups(custom_keys=dict(head=dict(lr_mult=10.0)))
    slow, fast = 0.001, pytest.approx(0.01)
    assert found == {
        'backbone.scale': (slow, 0.0),
        'backbone.0.weight': (slow, 0.1),
        'backbone.0.bias': (slow, 0.0),
        'backbone.1.weight': (slow, 0.0),
        'backbone.1.bias': (slow, 0.0),
        'head.0.weight': (fast, 0.1),
        'head.0.bias': (fast, 0.0),
        'head.1.weight': (fast, 0.0),
        'head.1.bias': (fast, 0.0),
    }


def test_other_rules_stay_in_force():
    found = groups(custom_keys=dict(head=dict(decay_mult=0.5)))
    assert found['head.0.weight'] == (0.001, 0.05)
    assert found['head.0.bias'] == (0.001, 0.0)
