"""A run that died goes on as if it had not, with its teachers."""

from __future__ import annotations

import sys
from pathlib import Path

import mmseg
import pytest
import torch
from mmengine.runner import Runner

from tests.tiny_run import tiny_config
from tests.tools import run
from tests.zoo.stacks import has_operators, stack

from . import runs, semi

TEACHER = 'pseudo_label_teacher'
RISING = dict(type='linear', start=0.1, stop=1.0)


def distillation(teacher, pictures) -> dict:
    label_weight = dict(type='linear', start=1.0, stop=0.2)
    weight = dict(type='cosine', start=0.1, stop=1.0, begin=1)
    weights = dict(label_weight=label_weight, teacher_weight=weight)
    return runs.distil(teacher, **weights, **runs.OPTIONS)


def pseudo_labels(teacher, pictures) -> dict:
    options = dict(views=2, threshold=semi.THRESHOLD)
    return semi.pseudo(pictures, momentum=0.7, loss_weight=RISING, **options)


def every_option(teacher, pictures) -> dict:
    options = dict(momentum=0.7, loss_weight=RISING)
    return semi.pseudo(pictures, **options, **semi.EVERY)


def head_resolution(teacher, pictures) -> dict:
    return runs.HEAD_RESOLUTION


def seen(cfg) -> list[str]:
    path = Path(cfg.work_dir, 'paths.txt')
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ('hook_for', 'workers'),
    [
        (distillation, 0),
        (head_resolution, 0),
        (pseudo_labels, 0),
        (every_option, 2),
    ],
)
def test_killed_run_ends_as_the_unbroken_one(
    tmp_path, teacher, pictures, hook_for, workers
):
    with_images = hook_for in (pseudo_labels, every_option)
    options = [] if hook_for is head_resolution else ['--full-resolution']
    unbroken, killed = (
        runs.student_config(tmp_path / 'noise', tmp_path / name)
        for name in ('unbroken', 'killed')
    )
    for cfg in (unbroken, killed):
        cfg.train_cfg.max_iters = 6
        cfg.train_dataloader.num_workers = workers
        cfg.train_dataloader.persistent_workers = workers > 0
        cfg.custom_hooks.append(hook_for(teacher, pictures))
        if hook_for is head_resolution:  # the half of the label's sides
            cfg.model.decode_head.update(in_index=1, in_channels=8)
        if with_images:
            semi.certain(cfg)
            cfg.custom_imports.imports.append('tests.hooks.semi')
            cfg.custom_hooks.append(dict(type='PathsHook'))
    runs.train(unbroken)

    run.train_until_killed(killed, 5, *options)
    assert not Path(killed.work_dir, 'iter_6.pth').exists()
    paths = seen(unbroken)
    assert len(set(paths)) == (6 if with_images else 0)
    assert seen(killed) in (paths[:5], paths)  # it may die before writing
    Path(killed.work_dir, 'paths.txt').unlink(missing_ok=True)

    killed.resume = True
    assert len(runs.train(killed).logs) == 3
    assert seen(killed) == paths[3:]
    first = runs.load(f'{unbroken.work_dir}/iter_6.pth')
    second = runs.load(f'{killed.work_dir}/iter_6.pth')
    runs.assert_same(first['state_dict'], second['state_dict'])
    if with_images:
        runs.assert_same(first[TEACHER], second[TEACHER])
        assert first[TEACHER]['steps'] == 6
        name = 'decode_head.conv_seg.weight'
        average, last = first[TEACHER][f'module.{name}'], first['state_dict']
        assert not torch.equal(average, last[name])
    if hook_for is every_option:
        moved = first['pseudo_label_threshold']
        assert moved == second['pseudo_label_threshold'] != semi.THRESHOLD


@pytest.mark.skipif(
    stack() == 'openmmlab' and not has_operators(),
    reason='mmseg itself does not import without operators of mmcv',
)
def test_checkpoint_serves_where_this_package_is_not_installed(
    cfg, teacher, tmp_path
):
    """mmseg's own tool evaluates it by a config that knows nothing of us."""
    runs.train(cfg, runs.distil(teacher))

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
    paths = tmp_path / 'stock.py', f'{cfg.work_dir}/iter_3.pth'
    tested = run.apart(sys.executable, '-c', program, *paths, cwd=tmp_path)
    assert tested.returncode == 0, tested.stderr
    assert 'mIoU: ' in tested.stdout
    assert 'do not match' not in tested.stdout


def trained(cfg, pictures) -> str:
    semi.learn(cfg, pictures)
    cfg.work_dir += '_again'
    return cfg.work_dir.replace('_again', '/iter_3.pth')


def test_weights_to_start_from_start_another_teacher(cfg, pictures):
    cfg.load_from = trained(cfg, pictures)
    cfg.train_cfg.max_iters = 1
    _, steps = semi.learn(cfg, pictures)
    loaded = runs.load(cfg.load_from)
    runs.assert_same(steps.first_teacher, loaded['state_dict'])
    assert loaded[TEACHER]['steps'] == 3
    # it keeps none of itself
    runs.assert_same(steps.teachers[0], steps.states[0])


def test_checkpoint_without_a_teacher(cfg, pictures):
    """The teacher starts then as a copy of the student, with a warning."""
    runs.train(cfg)
    cfg.resume = True
    cfg.train_cfg.max_iters = 4
    cfg.default_hooks.checkpoint.interval = 1
    _, steps = semi.learn(cfg, pictures)
    loaded = runs.load(cfg.work_dir + '/iter_3.pth')
    runs.assert_same(steps.first_teacher, loaded['state_dict'])
    assert 'WARNING - The checkpoint has no mean teacher' in runs.log_text(cfg)
    runs.assert_same(steps.teachers[0], steps.states[0])


def test_teacher_of_another_student(cfg, pictures):
    cfg.load_from = trained(cfg, pictures)
    checkpoint = runs.load(cfg.load_from)
    del checkpoint[TEACHER]['module.decode_head.conv_seg.bias']
    torch.save(checkpoint, cfg.load_from)
    cfg.resume = True
    cfg.train_cfg.max_iters = 4
    with pytest.raises(ValueError, match='(?s)average of this .*conv_seg.bia'):
        semi.learn(cfg, pictures)


def test_student_is_its_own_teacher(cfg, pictures):
    """Then there is nothing to save, and nothing to warn of."""
    semi.learn(cfg, pictures, teacher='self')
    assert TEACHER not in runs.load(f'{cfg.work_dir}/iter_3.pth')
    cfg.resume = True
    cfg.train_cfg.max_iters = 4
    record, _ = semi.learn(cfg, pictures, teacher='self')
    assert len(record.logs) == 1
    assert 'mean teacher' not in runs.log_text(cfg)


def test_training_goes_on_to_testing_with_the_same_runner(cfg, pictures):
    """The average that was trained is the one that is evaluated."""
    cfg = runs.with_evaluation(cfg)
    cfg.custom_hooks.append(semi.pseudo(pictures, evaluate_teacher=True))
    runner = Runner.from_cfg(cfg)
    runner.train()
    teacher = semi.pseudo_hook(runner).average.module
    before = {k: v.clone() for k, v in teacher.named_buffers()}
    assert 'teacher/mIoU' in runner.test()
    teacher = semi.pseudo_hook(runner).average.module
    runs.assert_same(before, dict(teacher.named_buffers()))
