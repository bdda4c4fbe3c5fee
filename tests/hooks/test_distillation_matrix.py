"""However a run is set up, it learns what the plain run learns.

That the plain run is right is checked against loops by hand elsewhere.
"""

from __future__ import annotations

import copy

import pytest
import torch

from .distillation import KD, OPTIONS, build, train
from .kinds import KINDS, change, quiet
from .semi import without_chance

pytestmark = quiet


@pytest.mark.parametrize('kind', KINDS)
def test_learns_the_same(cfg, teacher, tmp_path, kind):
    if kind == 'compile' and torch.__version__ < '2.5':
        pytest.skip('the compiler of torch 2.4 fails on hooks of features')
    without_chance(cfg)
    cfg.train_cfg.max_iters = 2 if kind == 'accumulation' else 1
    cfg.load_from = str(tmp_path / 'start.pth')
    start = dict(state_dict=build(cfg.model).state_dict())
    torch.save(start, cfg.load_from)
    hook = dict(type=KD, **OPTIONS, **teacher)
    expected = train(cfg, hook)
    changed = copy.deepcopy(cfg)
    change(changed, kind)
    found = train(changed, hook)
    assert found.logs[0].keys() == expected.logs[0].keys()
    error = 0.05 if kind == 'AMP' else 1e-5
    assert found.logs[0] == pytest.approx(expected.logs[0], rel=error)
    gradients = copy.deepcopy(expected.gradients[0])
    if kind == 'accumulation':  # the mean over batches, of one student
        assert len(found.gradients) == 1
        cfg.optim_wrapper.optimizer.lr = 0.0
        steps = train(cfg, hook).gradients
        gradients = {k: sum(s[k] for s in steps) / 2 for k in gradients}
    scale = max(g.abs().max() for g in gradients.values())
    for name, gradient in gradients.items():
        difference = found.gradients[0][name] - gradient
        assert difference.abs().max() <= error * scale, name
