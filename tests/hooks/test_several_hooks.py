"""Several hooks of one kind, and losses whose names look like theirs."""

from __future__ import annotations

import pytest

from .distillation import (
    KD,
    assert_same,
    load,
    student_config,
    train,
    wider,
    write_teacher,
)
from .semi import PSEUDO, THRESHOLD, certain, unlabeled, without_chance


def test_two_teachers_are_summed(cfg, tmp_path):
    """Both start from the same student, so that gradients add up."""
    without_chance(cfg)
    paths = [
        write_teacher(tmp_path, wider(cfg.model), seed) for seed in (1, 2)
    ]
    hooks = [
        dict(type=KD, label_weight=0.0, teacher_weight=weight, **one)
        for weight, one in zip((0.3, 0.7), paths)
    ]
    apart = [train(cfg, hook) for hook in hooks]
    both = train(cfg, *hooks)
    for name, value in both.gradients[0].items():
        expected = sum(record.gradients[0][name] for record in apart)
        assert (value - expected).abs().max() < 1e-6, name
    log = both.logs[0]
    for number, record in enumerate(apart):
        for name in ('decode.loss_kd%s_jml_ce', 'aux.loss_kd%s_ce'):
            own = log[name % ('_2' * number)]
            assert own == record.logs[0][name % ''] > 0
    terms = [name for name in log if 'loss' in name and name != 'loss']
    assert log['loss'] == pytest.approx(sum(log[name] for name in terms))


def test_schedules_of_two_teachers_are_logged_apart(cfg, teacher):
    up, down = (
        dict(type='linear', start=start, stop=1 - start) for start in (0.0, 1)
    )
    record = train(
        cfg,
        dict(type=KD, teacher_weight=up, **teacher),
        dict(type=KD, teacher_weight=down, **teacher),
    )
    logged = record.runner.message_hub.log_scalars
    first, second = (
        logged[f'train/teacher_weight{suffix}'].data[0]
        for suffix in ('', '_2')
    )
    assert list(first) == pytest.approx([0, 1 / 3, 2 / 3])
    assert list(second) == pytest.approx([1, 2 / 3, 1 / 3])
    # a weight of 0 does not lend its name to the other hook
    assert 'decode.loss_kd_jml_ce' not in record.logs[0]
    assert record.logs[0]['decode.loss_kd_2_jml_ce'] > 0


def test_two_sets_of_unlabelled_images(cfg, pictures, tmp_path):
    """Each has a teacher, in the checkpoint and after a resumption too."""
    certain(cfg)
    hooks = [
        dict(
            type=PSEUDO,
            unlabeled_dataloader=unlabeled(pictures),
            threshold=THRESHOLD,
            momentum=momentum,
        )
        for momentum in (0.5, 0.9)
    ]
    cfg.train_cfg.max_iters = 6
    unbroken = train(cfg, *hooks)
    log = unbroken.logs[0]
    terms = 'decode.loss_pseudo_jml_ce', 'decode.loss_pseudo_2_jml_ce'
    assert {*terms, 'pseudo_confident', 'pseudo_confident_2'} <= log.keys()
    first = load(f'{cfg.work_dir}/iter_6.pth')
    again = student_config(tmp_path / 'noise', tmp_path / 'again')
    certain(again)
    again.train_cfg.max_iters = 6
    again.load_from, again.resume = f'{cfg.work_dir}/iter_3.pth', True
    train(again, *hooks)
    second = load(f'{again.work_dir}/iter_6.pth')
    keys = 'pseudo_label_teacher', 'pseudo_label_teacher_2'
    for key in keys:
        assert first[key]['steps'] == 6
        assert_same(first[key], second[key])
    weights = [first[k]['module.decode_head.conv_seg.weight'] for k in keys]
    assert not (weights[0] == weights[1]).all()


@pytest.mark.parametrize('name', ['loss_soft_ce', 'loss_kd_a', 'loss_pseudo_'])
def test_losses_of_the_user_are_weighted_whatever_their_names(
    cfg, teacher, name
):
    own = dict(type='CrossEntropyLoss', loss_name=name)
    cfg.model.decode_head.loss_decode = own
    plain = train(cfg).logs[0]
    log = train(cfg, dict(type=KD, label_weight=0.25, **teacher)).logs[0]
    assert log[f'decode.{name}'] == pytest.approx(plain[f'decode.{name}'] / 4)
    halves = dict(type=KD, label_weight=0.5, **teacher)
    log = train(cfg, halves, halves).logs[0]
    assert log[f'decode.{name}'] == pytest.approx(plain[f'decode.{name}'] / 4)


def test_name_that_a_hook_needs(cfg, teacher):
    own = dict(type='CrossEntropyLoss', loss_name='loss_kd_jml_ce')
    cfg.model.decode_head.loss_decode = own
    with pytest.raises(ValueError, match="'decode.loss_kd_jml_ce' twice"):
        train(cfg, dict(type=KD, **teacher))
