"""Old and new options in runs of every kind, resumed bit by bit."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from mmengine.runner._flexible_runner import FlexibleRunner

from . import test_distillation_targets  # noqa: F401 (BFloat16Wrapper)
from .distillation import assert_same, load, train
from .semi import EVERY, PSEUDO, THRESHOLD, certain, unlabeled

OLD = dict(threshold=THRESHOLD, momentum=0.7)
KINDS = 'plain', 'accumulation', 'bfloat16', 'with_cp', 'ema', 'flexible'
pytestmark = [
    pytest.mark.filterwarnings('ignore:.*use_reentrant:UserWarning'),
    pytest.mark.filterwarnings('ignore:None of the inputs:UserWarning'),
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),
]


def prepare(cfg, kind: str) -> None:
    """Makes a run of four steps of some kind."""
    certain(cfg)
    cfg.train_cfg.max_iters = 4
    cfg.default_hooks.checkpoint.interval = 2
    if kind == 'accumulation':
        cfg.optim_wrapper.accumulative_counts = 2
    elif kind == 'bfloat16':
        cfg.optim_wrapper.type = 'BFloat16Wrapper'
    elif kind == 'with_cp':
        cfg.model.backbone.with_cp = True
    elif kind == 'ema':
        cfg.custom_hooks.append(dict(type='EMAHook'))
    elif kind == 'flexible':
        cfg.env_cfg = dict(dist_cfg=dict(backend='gloo'))


def run(cfg, kind: str, hook: dict) -> dict:
    """Trains, and returns what was saved in the end."""
    if kind == 'flexible':
        cfg = copy.deepcopy(cfg)
        cfg.experiment_name = str(torch.rand(()).item())
        cfg.custom_hooks.append(hook)
        FlexibleRunner.from_cfg(cfg).train()
    else:
        for log in train(cfg, hook).logs:
            assert math.isfinite(log['loss'])
    return load(f'{cfg.work_dir}/iter_4.pth')


@pytest.mark.parametrize('options', [OLD, EVERY], ids=['old', 'every'])
@pytest.mark.parametrize('kind', KINDS)
def test_resumed_run_ends_as_the_unbroken_one(cfg, pictures, kind, options):
    prepare(cfg, kind)
    hook = dict(
        type=PSEUDO, unlabeled_dataloader=unlabeled(pictures), **options
    )
    unbroken = run(cfg, kind, hook)
    Path(cfg.work_dir, 'iter_4.pth').unlink()
    cfg.load_from, cfg.resume = f'{cfg.work_dir}/iter_2.pth', True
    resumed = run(cfg, kind, hook)
    for key in ('state_dict', 'pseudo_label_teacher', 'ema_state_dict'):
        assert (key in unbroken) == (key != 'ema_state_dict' or kind == 'ema')
        if key in unbroken:
            assert_same(unbroken[key], resumed[key])
    teacher = unbroken['pseudo_label_teacher']
    assert teacher['steps'] == (2 if kind == 'accumulation' else 4)
    if options is EVERY:
        moved = unbroken['pseudo_label_threshold']
        assert moved == resumed['pseudo_label_threshold'] != THRESHOLD
