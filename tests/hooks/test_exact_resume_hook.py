"""What the hook refuses and draws; tests/test_resume.py runs it in full."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from . import runs


class Draw(Hook):
    """Draws a number in each step."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.drawn = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.drawn.append(torch.rand(()).item())


def test_steps_and_seeds_draw_different_numbers(cfg):
    hook = Draw()
    for seed in (0, 1):
        cfg.randomness.seed = seed
        runs.train(cfg, hook)
    assert len(hook.drawn) == len(set(hook.drawn)) == 6


def test_loop_of_epochs_is_refused(cfg):
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    with pytest.raises(TypeError, match=r'train_cfg\.type .*EpochBased'):
        runs.train(cfg)


def test_loader_that_is_not_configured_is_refused(cfg):
    runner = Runner.from_cfg(cfg)
    runner.cfg.pop('train_dataloader')
    with pytest.raises(ValueError, match=r'train_dataloader\.sampler'):
        runner.train()
