"""A run that died distilling goes on as if it had not."""

from __future__ import annotations

import sys
from pathlib import Path

import mmseg
import pytest

from tests.tiny_run import tiny_config
from tests.tools import run
from tests.zoo.stacks import has_operators, stack

from .distillation import KD, OPTIONS, assert_same, load, student_config, train


def weights(cfg) -> dict:
    return load(f'{cfg.work_dir}/iter_6.pth')['state_dict']


def test_killed_run_ends_with_the_weights_of_the_unbroken_one(
    tmp_path, teacher
):
    hook = dict(
        type=KD,
        label_weight=dict(type='linear', start=1.0, stop=0.2),
        teacher_weight=dict(type='cosine', start=0.1, stop=1.0, begin=1),
        **OPTIONS,
        **teacher,
    )
    unbroken, killed = (
        student_config(tmp_path / 'noise', tmp_path / name)
        for name in ('unbroken', 'killed')
    )
    for cfg in (unbroken, killed):
        cfg.train_cfg.max_iters = 6
        cfg.custom_hooks.append(hook)
    train(unbroken)

    run.train_until_killed(killed, 5, '--full-resolution')
    assert not Path(killed.work_dir, 'iter_6.pth').exists()

    killed.resume = True
    assert len(train(killed).logs) == 3
    assert_same(weights(unbroken), weights(killed))


@pytest.mark.skipif(
    stack() == 'openmmlab' and not has_operators(),
    reason='mmseg itself does not import without operators of mmcv',
)
def test_checkpoint_serves_where_this_package_is_not_installed(
    cfg, teacher, tmp_path
):
    """mmseg's own tool evaluates it by a config that knows nothing of us."""
    train(cfg, dict(type=KD, **teacher))

    stock = tiny_config(tmp_path / 'noise', tmp_path / 'tested')
    stock.model = cfg.model
    stock.model.decode_head.loss_decode = dict(type='CrossEntropyLoss')
    stock.test_dataloader = stock.val_dataloader
    stock.test_evaluator = stock.val_evaluator
    stock.test_cfg = dict(type='TestLoop')
    for key in ('custom_imports', 'custom_hooks'):
        del stock._cfg_dict[key]
    stock.dump(tmp_path / 'stock.py')
    tool = Path(mmseg.__file__).parent / '.mim/tools/test.py'
    program = (
        'import runpy, sys; sys.modules["mmseg_jml"] = None; '
        f'sys.argv[0] = {str(tool)!r}; '
        'runpy.run_path(sys.argv[0], run_name="__main__")'
    )
    tested = run.apart(
        sys.executable,
        '-c',
        program,
        tmp_path / 'stock.py',
        f'{cfg.work_dir}/iter_3.pth',
        cwd=tmp_path,
    )
    assert tested.returncode == 0, tested.stderr
    assert 'mIoU: ' in tested.stdout
    assert 'do not match' not in tested.stdout
