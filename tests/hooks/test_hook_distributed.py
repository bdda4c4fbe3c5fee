"""Two real processes learn in step, from teachers and unlabelled images."""

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

from . import runs, semi
from .test_teacher import assert_validated, stock_figures


@pytest.fixture
def device():
    """The group of these processes is one of CPUs."""
    return torch.device('cpu')


def train_together(cfg, hook, unused=False) -> runs.Record:
    """The students, their average and all teachers are the same in each."""
    options = dict(broadcast_buffers=False, find_unused_parameters=unused)
    cfg = distribute(copy.deepcopy(cfg), **options)
    steps = [semi.Steps()] if 'unlabeled_dataloader' in hook else []
    record = runs.train(cfg, hook, dict(type='EMAHook'), *steps)
    (ema,) = (h for h in record.runner.hooks if isinstance(h, EMAHook))
    average = dict(ema.ema_model.named_parameters())
    assert_same_everywhere(dict(record.model.named_parameters()), average)
    for one in steps:
        assert len(one.states) == cfg.train_cfg.max_iters
        averages = 0 if hook.get('teacher') == 'self' else len(one.states)
        assert len(one.teachers) == averages
        assert_same_everywhere(*one.states, *one.teachers)
        assert differs([sample.img_path for sample in one.samples[0]])
    return record


def in_step(cfg, hook) -> dict:
    """Trains with and without a search for unused parameters."""
    alone = runs.train(cfg, hook)
    # they see other images, and agree only because they communicate
    assert differs(alone.logs[0]['decode.loss_jml_ce'])
    for unused in (False, True):
        together = train_together(cfg, hook, unused)
        assert together.logs[0] == alone.logs[0]
        assert_averaged(together.gradients[0], alone.gradients[0])
    return alone.logs[0]


def validation(cfg, teacher, rank):
    distribute(cfg, broadcast_buffers=False)
    expected = stock_figures(cfg, teacher)
    record = runs.train(cfg, runs.distil(teacher, validate_teacher=True))
    assert_validated(record, expected)


def distillation(cfg, hook, rank):
    for accumulate in (1, 2):
        cfg.optim_wrapper.accumulative_counts = accumulate
        assert 'decode.loss_kd_jml_ce' in in_step(cfg, hook)


def pseudo_labels(cfg, pictures, rank):
    # no pixel is confident in one process, or in both
    for thresholds in ((1.0, 0.0), (1.0, 1.0)):
        threshold = thresholds[dist.get_rank()]
        log = in_step(cfg, semi.pseudo(pictures, threshold=threshold))
        assert (log['pseudo_confident'] > 0) == (threshold < 1)
    semi.certain(cfg)
    for options in (
        dict(teacher='self', threshold=semi.THRESHOLD),
        dict(update_statistics=False, soft=False, **semi.EVERY),
    ):
        log = train_together(cfg, semi.pseudo(pictures, **options)).logs[-1]
        assert differs(log['decode.loss_pseudo_jml_ce'])
        if options['threshold'] != semi.THRESHOLD:  # the one that all agree on
            assert not differs(log['pseudo_threshold'])
            assert log['pseudo_threshold'] != semi.THRESHOLD
    cfg.train_cfg.max_iters = 4
    for accumulate in (1, 2):
        cfg.optim_wrapper.accumulative_counts = accumulate
        log = in_step(cfg, semi.pseudo(pictures, threshold=semi.THRESHOLD))
        assert 0 < log['pseudo_confident'] < 1


def test_distillation_stays_in_step(cfg, teacher, tmp_path):
    cfg.train_cfg.max_iters = 2
    hook = runs.distil(teacher, **runs.OPTIONS)
    run_in_processes(partial(distillation, cfg, hook), tmp_path)


def test_pseudo_labels_stay_in_step(cfg, pictures, tmp_path):
    cfg.train_cfg.max_iters = 2
    run_in_processes(partial(pseudo_labels, cfg, pictures), tmp_path)


def test_validation_of_teachers(cfg, teacher, tmp_path):
    cfg = runs.with_evaluation(cfg)
    cfg.train_cfg.max_iters = 1
    run_in_processes(partial(validation, cfg, teacher), tmp_path)
