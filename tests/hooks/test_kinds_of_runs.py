"""However a run is set up, it learns and resumes as the plain run does.

That the plain run is right is checked against loops by hand elsewhere.
"""

import copy
import math
from pathlib import Path

import pytest
import torch

from tests.tolerances import AUTOCAST_OR_NOT, OTHER_ORDER

from . import runs, semi

pytestmark = runs.quiet


@pytest.mark.parametrize('kind', runs.KINDS)
def test_distillation_learns_the_same(cfg, teacher, tmp_path, kind):
    if kind == 'compile' and torch.__version__ < '2.5':
        pytest.skip('the compiler of torch 2.4 fails on hooks of features')
    runs.without_chance(cfg)
    cfg.train_cfg.max_iters = 2 if kind == 'accumulation' else 1
    cfg.load_from = str(tmp_path / 'start.pth')
    start = dict(state_dict=runs.build(cfg.model).state_dict())
    torch.save(start, cfg.load_from)
    hook = runs.distil(teacher, **runs.OPTIONS)
    expected = runs.train(cfg, hook)
    changed = copy.deepcopy(cfg)
    runs.set_up(changed, kind)
    found = runs.train(changed, hook)
    assert found.logs[0].keys() == expected.logs[0].keys()
    error = AUTOCAST_OR_NOT if kind == 'AMP' else OTHER_ORDER
    assert found.logs[0] == pytest.approx(expected.logs[0], rel=error)
    gradients = expected.gradients[0]
    if kind == 'accumulation':  # the mean over batches, of one student
        assert len(found.gradients) == 1
        cfg.optim_wrapper.optimizer.lr = 0.0
        steps = runs.train(cfg, hook).gradients
        gradients = {k: sum(s[k] for s in steps) / 2 for k in gradients}
    scale = max(g.abs().max() for g in gradients.values())
    for name, gradient in gradients.items():
        difference = found.gradients[0][name] - gradient
        assert difference.abs().max() <= error * scale, name


def run(cfg, hook: dict) -> dict:
    """Trains, and returns what was saved in the end."""
    for log in runs.train(cfg, hook).logs:
        assert math.isfinite(log['loss'])
    return runs.load(f'{cfg.work_dir}/iter_4.pth')


@pytest.mark.parametrize('every', [False, True])
# `compile` resumes to the bit too, but takes a minute
@pytest.mark.parametrize('kind', ['plain', *runs.QUICK])
def test_pseudo_labels_resume_to_the_bit(cfg, pictures, kind, every):
    semi.certain(cfg)
    cfg.train_cfg.max_iters = 4
    cfg.default_hooks.checkpoint.interval = 2
    runs.set_up(cfg, kind)
    plain = dict(threshold=semi.THRESHOLD, momentum=0.7)
    hook = semi.pseudo(pictures, **(semi.EVERY if every else plain))
    unbroken = run(cfg, hook)
    Path(cfg.work_dir, 'iter_4.pth').unlink()
    cfg.load_from, cfg.resume = f'{cfg.work_dir}/iter_2.pth', True
    resumed = run(cfg, hook)
    assert ('ema_state_dict' in unbroken) == (kind == 'EMAHook')
    for key in ('state_dict', 'pseudo_label_teacher', 'ema_state_dict'):
        runs.assert_same(unbroken.get(key, {}), resumed.get(key, {}))
    steps = unbroken['pseudo_label_teacher']['steps']
    assert steps == (2 if kind == 'accumulation' else 4)
    if every:
        moved = unbroken['pseudo_label_threshold']
        assert moved == resumed['pseudo_label_threshold'] != semi.THRESHOLD
