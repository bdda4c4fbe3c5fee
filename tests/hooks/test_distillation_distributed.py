"""Two real processes learn from one teacher in step."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch

from tests.processes import (
    assert_averaged,
    assert_same_everywhere,
    differs,
    distribute,
    run_in_processes,
)

from .distillation import KD, OPTIONS, train

STEPS = 2


@pytest.fixture
def device():
    """The group of these processes is one of CPUs."""
    return torch.device('cpu')


def in_step(cfg, hook):
    """Trains with and without a search for unused parameters."""
    alone = train(cfg, hook)
    assert 'decode.loss_kd_jml_ce' in alone.logs[0]
    # they see other images, and agree only because they communicate
    assert differs(alone.logs[0])
    for find_unused in (False, True):
        wrapped = distribute(
            copy.deepcopy(cfg),
            broadcast_buffers=False,
            find_unused_parameters=find_unused,
        )
        together = train(wrapped, hook, dict(type='EMAHook'))
        assert_same_everywhere(dict(together.model.named_parameters()))
        assert together.logs[0] == alone.logs[0]
        assert_averaged(together.gradients[0], alone.gradients[0])


def every_way(cfg, hook, rank):
    for accumulate in (1, 2):
        cfg.optim_wrapper.accumulative_counts = accumulate
        in_step(cfg, hook)


def test_processes_stay_in_step(cfg, teacher, tmp_path):
    """With and without a search for unused parameters and accumulation."""
    cfg.train_cfg.max_iters = STEPS
    hook = dict(type=KD, **OPTIONS, **teacher)
    run_in_processes(partial(every_way, cfg, hook), tmp_path)
