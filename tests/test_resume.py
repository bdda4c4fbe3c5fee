"""Stopped runs: they resume, exactly, and from their own checkpoints only."""

import copy
import pickle
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch.multiprocessing import ProcessExitedException

from tests.processes import distribute, run_in_processes
from tests.tiny_run import STEPS, tiny_config, write_images
from tests.tools.run import train_until_killed


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('images') / 'noise'
    write_images(folder)
    return folder


class FirstStep(Hook):
    """Keeps what a run holds when its first step begins."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if not hasattr(self, 'step'):
            self.step = runner.iter
            self.weights = copy.deepcopy(runner.model.state_dict())
            self.optimizer = copy.deepcopy(runner.optim_wrapper.state_dict())
            self.logged = list(runner.message_hub.log_scalars)


def train(cfg: Config, name: str, *hooks: Hook, **changes) -> Runner:
    cfg = copy.deepcopy(cfg)
    cfg.merge_from_dict(changes)
    cfg.experiment_name = name
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def load(path: Path) -> dict:
    return CheckpointLoader.load_checkpoint(str(path), 'cpu')


def weights(work_dir: Path, step: int = STEPS) -> dict:
    return load(work_dir / f'iter_{step}.pth')['state_dict']


def assert_same(state: dict, other: dict) -> None:
    assert state.keys() == other.keys()
    for name, value in state.items():
        assert torch.equal(value.cpu(), other[name].cpu()), name


def test_run_resumes_from_its_own_checkpoint(images, tmp_path, strict, device):
    cfg = tiny_config(images, tmp_path)
    cfg.custom_hooks = []
    train(cfg, 'first', **{'train_cfg.max_iters': 6})
    resumed = FirstStep()
    train(cfg, 'second', resumed, resume=True)
    assert resumed.step == 6
    assert_same(resumed.weights, weights(tmp_path, 6))
    states = resumed.optimizer['state'].values()
    assert {int(state['step']) for state in states} == {6}
    assert 'train/loss' in resumed.logged


def test_checkpoint_with_a_foreign_class_is_refused(images, tmp_path, strict):
    cfg = tiny_config(images, tmp_path)
    train(cfg, 'first', **{'train_cfg.max_iters': 6})
    path = tmp_path / 'iter_6.pth'
    checkpoint = load(path)
    checkpoint['message_hub']['runtime_info']['best'] = Fraction(1, 2)
    torch.save(checkpoint, path)
    with pytest.raises(pickle.UnpicklingError, match='Unsupported global'):
        train(cfg, 'second', resume=True)


@pytest.mark.parametrize('workers', [0, 2])
def test_killed_run_ends_with_the_weights_of_the_unbroken_one(
    images, tmp_path, workers, deterministic
):
    unbroken, killed = tmp_path / 'unbroken', tmp_path / 'killed'
    train(tiny_config(images, unbroken, workers), 'unbroken')

    train_until_killed(tiny_config(images, killed, workers), step=8)
    assert (killed / 'last_checkpoint').read_text().endswith('iter_6.pth')

    cfg, resumed = tiny_config(images, killed, workers), FirstStep()
    train(cfg, 'resumed', resumed, resume=True)
    assert resumed.step == 6
    assert_same(weights(unbroken), weights(killed))


def train_in_group(path: Path, rank: int) -> None:
    Runner.from_cfg(Config.fromfile(path)).train()


def test_killed_processes_end_with_the_weights_of_the_unbroken_ones(
    images, tmp_path
):
    def run(name: str, work_dir: str, *hooks: dict, **changes) -> None:
        cfg = distribute(tiny_config(images, tmp_path / work_dir))
        cfg.randomness.diff_rank_seed = True
        cfg.custom_hooks.extend(hooks)
        cfg.merge_from_dict(changes)
        folder = tmp_path / name
        folder.mkdir()
        cfg.dump(folder / 'run.py')
        run_in_processes(partial(train_in_group, folder / 'run.py'), folder)

    run('first', 'unbroken')
    with pytest.raises(ProcessExitedException, match='SIGKILL'):
        run('second', 'killed', dict(type='KillHook', step=8))
    run('third', 'killed', resume=True)
    assert_same(weights(tmp_path / 'unbroken'), weights(tmp_path / 'killed'))
