"""Two real processes learn from images without labels in step."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import EMAHook

from tests.processes import (
    assert_averaged,
    assert_same_everywhere,
    differs,
    distribute,
    run_in_processes,
)

from .distillation import Record
from .semi import EVERY, THRESHOLD, Steps, certain, learn


@pytest.fixture
def device():
    """The group of these processes is one of CPUs."""
    return torch.device('cpu')


def learn_wrapped(
    cfg, pictures, unused=False, **options
) -> tuple[Record, Steps]:
    wrapped = distribute(
        copy.deepcopy(cfg),
        broadcast_buffers=False,
        find_unused_parameters=unused,
    )
    return learn(wrapped, pictures, dict(type='EMAHook'), **options)


def in_step(cfg, pictures, **options):
    """Trains with and without a search for unused parameters."""
    alone, _ = learn(cfg, pictures, **options)
    for unused in (False, True):
        together, steps = learn_wrapped(cfg, pictures, unused, **options)
        assert_all_same(together, steps)
        # they see other images, and agree only because they communicate
        assert differs([sample.img_path for sample in steps.samples[0]])
        assert differs(alone.logs[0]['decode.loss_jml_ce'])
        assert together.logs[0] == alone.logs[0]
        assert_averaged(together.gradients[0], alone.gradients[0])
    return alone.logs[0]['pseudo_confident']


def assert_all_same(together, steps):
    """After each step the students, the teachers, and in the end EMAHook."""
    number = together.runner.max_iters
    assert len(steps.states) == len(steps.teachers) == number
    (ema,) = (h for h in together.runner.hooks if isinstance(h, EMAHook))
    average = dict(ema.ema_model.named_parameters())
    assert_same_everywhere(*steps.states, *steps.teachers, average)


def default_and_accumulation(cfg, pictures):
    cfg = copy.deepcopy(cfg)
    certain(cfg)
    cfg.train_cfg.max_iters = 4
    for accumulate in (1, 2):
        cfg.optim_wrapper.accumulative_counts = accumulate
        share = in_step(cfg, pictures, threshold=THRESHOLD)
        assert 0 < share < 1


def no_confident_pixel_on_one_process_or_on_both(cfg, pictures):
    cfg = copy.deepcopy(cfg)
    cfg.train_cfg.max_iters = 2
    for thresholds in ((1.0, 0.0), (1.0, 1.0)):
        threshold = thresholds[dist.get_rank()]
        share = in_step(cfg, pictures, threshold=threshold)
        assert (share > 0) == (threshold < 1)


def other_kinds_of_teachers_and_views(cfg, pictures):
    cfg = copy.deepcopy(cfg)
    certain(cfg)
    for options in (
        dict(teacher='self'),
        dict(update_statistics=False, soft=False, **EVERY),
    ):
        options = dict(threshold=THRESHOLD) | options
        together, steps = learn_wrapped(cfg, pictures, **options)
        assert_same_everywhere(*steps.states, *steps.teachers)
        log = together.logs[-1]
        assert differs(log['decode.loss_pseudo_jml_ce'])
        if options['threshold'] != THRESHOLD:  # the one that all agree on
            assert not differs(log['pseudo_threshold'])
            assert log['pseudo_threshold'] != THRESHOLD


def every_case(cfg, pictures, rank):
    default_and_accumulation(cfg, pictures)
    no_confident_pixel_on_one_process_or_on_both(cfg, pictures)
    other_kinds_of_teachers_and_views(cfg, pictures)


def test_processes_stay_in_step(cfg, pictures, tmp_path):
    """In every case above, in one pair of processes, slow to start."""
    run_in_processes(partial(every_case, cfg, pictures), tmp_path)
