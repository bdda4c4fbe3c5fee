"""The schedules are those of the authors and of mmseg."""

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from torch import nn

from tests.tolerances import SUMMED
from tests.zoo import catalog as stock

from . import catalog

FOLDER = catalog.CONFIGS / '_base_/schedules'
FILES = [*FOLDER.glob('adamw_*'), *FOLDER.glob('sgd_*'), *FOLDER.glob('dino*')]


def schedule(optimizer: str, length: int) -> Config:
    return Config.fromfile(FOLDER / f'{optimizer}_{length // 1000}k.py')


def rates(cfg, steps):
    """Returns the learning rate of the first group at some steps."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        wrapper = build_optim_wrapper(nn.Conv2d(1, 1, 1), cfg.optim_wrapper)
        given = dict(optimizer=wrapper.optimizer)
        schedulers = [
            PARAM_SCHEDULERS.build(entry, default_args=given)
            for entry in cfg.param_scheduler
        ]
    wrapper.optimizer.step()
    found = []
    for step in range(max(steps) + 1):
        if step in steps:
            found.append(wrapper.optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            scheduler.step()
    return found


def test_adamw_warms_up_and_falls_in_a_line():
    """By hand: 1/60 of 6e-5, all of it after 1 %, half of it half-way."""
    steps = [0, 400, 400 + 19_800, 39_999]
    first, top, half, last = rates(schedule('adamw', 40_000), steps)
    assert first == pytest.approx(1e-6)
    assert top == pytest.approx(6e-5)
    # half of 39,599 steps
    assert half == pytest.approx(3e-5, rel=1e-4)
    assert last == pytest.approx(0, abs=SUMMED)


@pytest.mark.parametrize(
    ('name', 'length', 'start', 'end'),
    [('sgd', 40_000, 0.01, 0.0001), ('dinov2', 80_000, 5e-6, 0)],
)
def test_others_fall_by_a_power(name, length, start, end):
    """By hand: (1 - 1/2) ** 0.9 of the way from start to end."""
    first, half = rates(schedule(name, length), [0, length // 2])
    assert first == start
    expected = (start - end) * 0.5**0.9 + end
    # of a length that is one step less
    assert half == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('length', [40_000, 80_000, 160_000])
def test_sgd_is_mmsegs_own(length):
    ours = schedule('sgd', length)
    theirs = f'_base_/schedules/schedule_{length // 1000}k.py'
    theirs = stock.read(theirs)
    assert ours.train_cfg == theirs.train_cfg
    assert ours.optim_wrapper.optimizer == theirs.optimizer
    for entry in (*ours.param_scheduler, *theirs.param_scheduler):
        entry.setdefault('begin', 0)
    assert ours.param_scheduler == theirs.param_scheduler
    assert ours.default_hooks == theirs.default_hooks


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_lengths_agree(path):
    optimizer, length = path.stem[:-1].split('_')
    length, cfg = 1000 * int(length), Config.fromfile(path)
    assert cfg.train_cfg.max_iters == length
    assert cfg.train_cfg.val_interval == length // 10
    assert cfg.default_hooks.checkpoint.interval == length // 10
    assert cfg.param_scheduler[-1].end == length
    if optimizer == 'adamw':
        warm_up, linear = cfg.param_scheduler
        assert warm_up.end == linear.begin == length // 100
