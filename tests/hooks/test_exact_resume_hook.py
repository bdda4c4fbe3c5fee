"""What the hook refuses and draws; tests/test_resume.py runs it in full."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from tests.tiny_run import tiny_config, write_images


@pytest.fixture
def cfg(tmp_path, device):
    write_images(tmp_path / 'noise')
    cfg = tiny_config(tmp_path / 'noise', tmp_path)
    cfg.train_cfg.max_iters = 3
    cfg.default_hooks.checkpoint = None
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    return cfg


class Draw(Hook):
    """Draws a number in each step."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.drawn = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.drawn.append(torch.rand(()).item())


def draw(cfg, seed: int) -> list[float]:
    cfg.randomness.seed = seed
    cfg.experiment_name = f'seed {seed}'
    runner, hook = Runner.from_cfg(cfg), Draw()
    runner.register_hook(hook)
    runner.train()
    return hook.drawn


def test_steps_and_seeds_draw_different_numbers(cfg):
    drawn = draw(cfg, 0) + draw(cfg, 1)
    assert len(set(drawn)) == 6


def test_loop_of_epochs_is_refused(cfg):
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    with pytest.raises(TypeError, match=r'train_cfg\.type .*EpochBased'):
        Runner.from_cfg(cfg).train()


def test_loader_that_is_not_configured_is_refused(cfg):
    runner = Runner.from_cfg(cfg)
    runner.cfg.pop('train_dataloader')
    with pytest.raises(ValueError, match=r'train_dataloader\.sampler'):
        runner.train()
