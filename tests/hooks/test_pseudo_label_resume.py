"""A run with a mean teacher that died goes on as if it had not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from tests.tools import run

from .distillation import assert_same, load, student_config, train
from .semi import (
    EVERY,
    PSEUDO,
    THRESHOLD,
    certain,
    learn,
    pseudo_hook,
    unlabeled,
)

TEACHER = 'pseudo_label_teacher'


def run_config(tmp_path, pictures, name, workers):
    cfg = student_config(tmp_path / 'noise', tmp_path / name)
    certain(cfg)
    cfg.train_cfg.max_iters = 6
    cfg.train_dataloader.update(
        num_workers=workers, persistent_workers=workers > 0
    )
    cfg.custom_imports.imports.append('tests.hooks.semi')
    hook = dict(
        type=PSEUDO,
        unlabeled_dataloader=unlabeled(pictures),
        momentum=0.7,
        **(EVERY if workers else dict(views=2, threshold=THRESHOLD)),
        loss_weight=dict(type='linear', start=0.1, stop=1.0),
    )
    cfg.custom_hooks += [hook, dict(type='PathsHook')]
    return cfg


def paths(cfg) -> list[str]:
    return Path(cfg.work_dir, 'paths.txt').read_text().splitlines()


@pytest.mark.parametrize('workers', [0, 2])
def test_killed_run_ends_as_the_unbroken_one(tmp_path, pictures, workers):
    unbroken, killed = (
        run_config(tmp_path, pictures, name, workers)
        for name in ('unbroken', 'killed')
    )
    train(unbroken)

    run.train_until_killed(killed, 5, '--full-resolution')
    assert not Path(killed.work_dir, 'iter_6.pth').exists()
    seen = paths(unbroken)
    assert len(set(seen)) == 6
    assert paths(killed) in (seen[:5], seen)  # it may die before writing
    Path(killed.work_dir, 'paths.txt').unlink()

    killed.resume = True
    assert len(train(killed).logs) == 3
    assert paths(killed) == seen[3:]
    first, second = (
        load(f'{cfg.work_dir}/iter_6.pth') for cfg in (unbroken, killed)
    )
    assert_same(first['state_dict'], second['state_dict'])
    assert_same(first[TEACHER], second[TEACHER])
    assert first[TEACHER]['steps'] == 6
    if workers:
        moved = first['pseudo_label_threshold']
        assert moved == second['pseudo_label_threshold'] != THRESHOLD
    name = 'decode_head.conv_seg.weight'
    assert not torch.equal(
        first[TEACHER][f'module.{name}'], first['state_dict'][name]
    )


def trained(cfg, pictures) -> str:
    learn(cfg, pictures)
    cfg.work_dir += '_again'
    return cfg.work_dir.replace('_again', '/iter_3.pth')


def test_weights_to_start_from_start_another_teacher(cfg, pictures):
    cfg.load_from = trained(cfg, pictures)
    cfg.train_cfg.max_iters = 1
    _, steps = learn(cfg, pictures)
    loaded = load(cfg.load_from)
    assert_same(steps.first_teacher, loaded['state_dict'])
    assert loaded[TEACHER]['steps'] == 3
    assert_same(steps.teachers[0], steps.states[0])  # it keeps none of itself


def logged(cfg) -> str:
    return ''.join(p.read_text() for p in Path(cfg.work_dir).glob('*/*.log'))


def test_checkpoint_without_a_teacher(cfg, pictures):
    """The teacher starts then as a copy of the student, with a warning."""
    train(cfg)
    cfg.resume = True
    cfg.train_cfg.max_iters = 4
    cfg.default_hooks.checkpoint.interval = 1
    _, steps = learn(cfg, pictures)
    loaded = load(cfg.work_dir + '/iter_3.pth')
    assert_same(steps.first_teacher, loaded['state_dict'])
    assert 'WARNING - The checkpoint has no mean teacher' in logged(cfg)
    assert_same(steps.teachers[0], steps.states[0])


def test_teacher_of_another_student(cfg, pictures):
    path = Path(trained(cfg, pictures))
    checkpoint = load(str(path))
    del checkpoint[TEACHER]['module.decode_head.conv_seg.bias']
    torch.save(checkpoint, path)
    cfg.load_from, cfg.resume = str(path), True
    cfg.train_cfg.max_iters = 4
    with pytest.raises(ValueError, match='(?s)average of this .*conv_seg.bia'):
        learn(cfg, pictures)


def test_student_is_its_own_teacher(cfg, pictures):
    """Then there is nothing to save, and nothing to warn of."""
    learn(cfg, pictures, teacher='self')
    assert TEACHER not in load(f'{cfg.work_dir}/iter_3.pth')
    cfg.resume = True
    cfg.train_cfg.max_iters = 4
    record, _ = learn(cfg, pictures, teacher='self')
    assert len(record.logs) == 1
    assert 'mean teacher' not in logged(cfg)


def test_training_goes_on_to_testing_with_the_same_runner(cfg, pictures):
    """The average that was trained is the one that is evaluated."""
    cfg.test_cfg = dict(type='TestLoop')
    dataset = dict(cfg.train_dataloader.dataset)
    dataset['pipeline'] = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs'),
    ]
    cfg.test_dataloader = dict(
        dataset=dataset, sampler=dict(type='DefaultSampler', shuffle=False)
    )
    cfg.test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    cfg.custom_hooks.append(
        dict(
            type=PSEUDO,
            unlabeled_dataloader=unlabeled(pictures),
            evaluate_teacher=True,
        )
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    before = {
        name: value.clone()
        for name, value in pseudo_hook(runner).average.module.named_buffers()
    }
    assert 'teacher/mIoU' in runner.test()
    assert_same(
        before, dict(pseudo_hook(runner).average.module.named_buffers())
    )
