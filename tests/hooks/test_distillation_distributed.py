"""Two real processes learn from one teacher in step."""

from __future__ import annotations

import copy
import os
from functools import partial

import pytest
import torch
import torch.distributed as dist

from tests.processes import run_in_processes

from .distillation import KD, OPTIONS, train

STEPS = 2
WRAPPER = dict(
    type='MMDistributedDataParallel',
    broadcast_buffers=False,
    device_ids=None,
)


@pytest.fixture
def device():
    """The group of these processes is one of CPUs."""
    return torch.device('cpu')


def run(cfg, wrapped, *hooks):
    """Trains one process of two, with or without the wrapper."""
    cfg = copy.deepcopy(cfg)
    if wrapped is not None:
        cfg.launcher = 'pytorch'
        cfg.model_wrapper_cfg = wrapped
    return train(cfg, *hooks)


def assert_same_everywhere(record):
    for name, parameter in record.model.named_parameters():
        first = parameter.detach().clone()
        dist.broadcast(first, 0)
        assert torch.equal(first, parameter), name


def in_step(cfg, hook):
    """Trains with and without a search for unused parameters."""
    alone = run(cfg, None, hook)
    assert 'decode.loss_kd_jml_ce' in alone.logs[0]
    # they see other images, and agree only because they communicate
    gathered = [None, None]
    dist.all_gather_object(gathered, alone.logs[0])
    assert gathered[0] != gathered[1]
    expected = alone.gradients[0]
    for gradient in expected.values():
        dist.all_reduce(gradient)
        gradient /= 2
    for find_unused in (False, True):
        wrapper = dict(WRAPPER, find_unused_parameters=find_unused)
        together = run(cfg, wrapper, hook, dict(type='EMAHook'))
        assert_same_everywhere(together)
        assert together.logs[0] == alone.logs[0]
        found = {
            name.removeprefix('module.'): gradient
            for name, gradient in together.gradients[0].items()
        }
        assert found.keys() == expected.keys()
        for name, gradient in found.items():
            torch.testing.assert_close(gradient, expected[name])


def every_way(cfg, hook, rank):
    os.environ['LOCAL_RANK'] = str(rank)
    for accumulate in (1, 2):
        cfg.optim_wrapper.accumulative_counts = accumulate
        in_step(cfg, hook)


def test_processes_stay_in_step(cfg, teacher, tmp_path):
    """With and without a search for unused parameters and accumulation."""
    cfg.train_cfg.max_iters = STEPS
    hook = dict(type=KD, **OPTIONS, **teacher)
    run_in_processes(partial(every_way, cfg, hook), tmp_path)
