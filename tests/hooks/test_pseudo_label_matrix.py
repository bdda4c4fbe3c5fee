"""Old and new options in runs of every kind, resumed bit by bit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from .distillation import assert_same, load, train
from .kinds import QUICK, change, quiet
from .semi import EVERY, PSEUDO, THRESHOLD, certain, unlabeled

OLD = dict(threshold=THRESHOLD, momentum=0.7)
pytestmark = quiet


def run(cfg, hook: dict) -> dict:
    """Trains, and returns what was saved in the end."""
    for log in train(cfg, hook).logs:
        assert math.isfinite(log['loss'])
    return load(f'{cfg.work_dir}/iter_4.pth')


@pytest.mark.parametrize('options', [OLD, EVERY], ids=['old', 'every'])
# `compile` resumes to the bit too, but takes a minute
@pytest.mark.parametrize('kind', ['plain', *QUICK])
def test_resumed_run_ends_as_the_unbroken_one(cfg, pictures, kind, options):
    certain(cfg)
    cfg.train_cfg.max_iters = 4
    cfg.default_hooks.checkpoint.interval = 2
    change(cfg, kind)
    hook = dict(
        type=PSEUDO, unlabeled_dataloader=unlabeled(pictures), **options
    )
    unbroken = run(cfg, hook)
    Path(cfg.work_dir, 'iter_4.pth').unlink()
    cfg.load_from, cfg.resume = f'{cfg.work_dir}/iter_2.pth', True
    resumed = run(cfg, hook)
    for key in ('state_dict', 'pseudo_label_teacher', 'ema_state_dict'):
        assert (key in unbroken) == (
            key != 'ema_state_dict' or kind == 'EMAHook'
        )
        if key in unbroken:
            assert_same(unbroken[key], resumed[key])
    teacher = unbroken['pseudo_label_teacher']
    assert teacher['steps'] == (2 if kind == 'accumulation' else 4)
    if options is EVERY:
        moved = unbroken['pseudo_label_threshold']
        assert moved == resumed['pseudo_label_threshold'] != THRESHOLD
