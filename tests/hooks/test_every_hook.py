"""What holds for every hook that teaches, and for several at once."""

import pytest

from tests.tolerances import FLOAT32

from . import runs, semi
from .test_soft_label_hook import SOFT

LATE = dict(type='linear', start=0.0, stop=1.0, begin=2, end=3)
SILENT = {
    'teacher': dict(teacher_weight=0.0),
    # a schedule switches the features on later
    'features': dict(teacher_weight=LATE, features=[runs.ATTENTION]),
    'pseudo labels': dict(loss_weight=0.0),
    'every option': dict(loss_weight=0.0, **semi.EVERY),
    'soft labels': dict(SOFT, soft_weight=0.0),
}


@pytest.mark.parametrize('options', SILENT.values(), ids=SILENT)
@pytest.mark.parametrize('exact_resume', [True, False])
def test_weight_zero_is_a_run_without_the_hook(
    cfg, teacher, pictures, options, exact_resume
):
    """Also where no seeding of each step would hide a difference."""
    for path in pictures.glob('*.png'):
        path.write_bytes(b'')  # none is even loaded
    if not exact_resume:
        cfg.custom_hooks = []
    plain = runs.train(cfg)
    hook = options
    if 'teacher_weight' in options:
        hook = runs.distil(teacher, **options)
    elif 'loss_weight' in options:
        hook = semi.pseudo(pictures, **options)
    record = runs.train(cfg, dict(hook, label_weight=1.0))
    runs.assert_same_run(plain, record)
    assert not any(m._forward_hooks for m in record.model.modules())


@pytest.mark.parametrize('beside', [[], [dict(type='EMAHook', momentum=0.5)]])
@pytest.mark.parametrize('added', [set(), {'pseudo_label_teacher'}])
def test_student_is_saved_as_without_the_hook(
    cfg, teacher, pictures, added, beside
):
    hook = semi.pseudo(pictures) if added else runs.distil(teacher)
    contents = []
    for hooks in ([], [hook]):
        record = runs.train(cfg, *beside, *hooks)
        contents.append(runs.load(f'{cfg.work_dir}/iter_3.pth'))
        assert not record.model._forward_hooks
        assert not record.model.decode_head.loss_decode._forward_pre_hooks
    plain, taught = contents
    assert taught.keys() - plain.keys() == added
    assert taught['state_dict'].keys() == plain['state_dict'].keys()
    if beside:
        names = {'module.' + name for name in record.start} | {'steps'}
        assert taught['ema_state_dict'].keys() == names
    else:
        runs.assert_same(taught['state_dict'], record.model.state_dict())
    groups = (content['optimizer']['param_groups'] for content in contents)
    one, two = ([len(part['params']) for part in group] for group in groups)
    assert one == two


def test_two_teachers_are_summed(cfg, tmp_path):
    """Both start from the same student, so that gradients add up."""
    runs.without_chance(cfg)
    model = runs.wider(cfg.model)
    hooks = [
        runs.distil(one, label_weight=0.0, teacher_weight=weight)
        for weight, one in zip(
            (0.3, 0.7),
            (runs.write_teacher(tmp_path, model, seed) for seed in (1, 2)),
        )
    ]
    apart = [runs.train(cfg, hook) for hook in hooks]
    both = runs.train(cfg, *hooks)
    for name, value in both.gradients[0].items():
        expected = sum(record.gradients[0][name] for record in apart)
        assert (value - expected).abs().max() < FLOAT32, name
    log = both.logs[0]
    for number, record in enumerate(apart):
        for name in ('decode.loss_kd%s_jml_ce', 'aux.loss_kd%s_ce'):
            own = log[name % ('_2' * number)]
            assert own == record.logs[0][name % ''] > 0
    runs.assert_summed(log)


def test_schedules_of_two_teachers_are_logged_apart(cfg, teacher):
    hooks = [
        runs.distil(teacher, teacher_weight=weight)
        for weight in (
            dict(type='linear', start=0.0, stop=1.0),
            dict(type='linear', start=1.0, stop=0.0),
        )
    ]
    record = runs.train(cfg, *hooks)
    rising = record.scalars('teacher_weight')
    falling = record.scalars('teacher_weight_2')
    assert rising == pytest.approx([0, 1 / 3, 2 / 3])
    assert falling == pytest.approx([1, 2 / 3, 1 / 3])
    # a weight of 0 does not lend its name to the other hook
    assert 'decode.loss_kd_jml_ce' not in record.logs[0]
    assert record.logs[0]['decode.loss_kd_2_jml_ce'] > 0


def test_two_sets_of_unlabelled_images(cfg, pictures, tmp_path):
    """Each has a teacher, in the checkpoint and after a resumption too."""
    hook = semi.pseudo(pictures, threshold=semi.THRESHOLD)
    hooks = [dict(hook, momentum=momentum) for momentum in (0.5, 0.9)]
    again = runs.student_config(tmp_path / 'noise', tmp_path / 'again')
    again.load_from, again.resume = f'{cfg.work_dir}/iter_3.pth', True
    for one in (cfg, again):
        semi.certain(one)
        one.train_cfg.max_iters = 6
    log = runs.train(cfg, *hooks).logs[0]
    terms = 'decode.loss_pseudo_jml_ce', 'decode.loss_pseudo_2_jml_ce'
    assert {*terms, 'pseudo_confident', 'pseudo_confident_2'} <= log.keys()
    runs.train(again, *hooks)
    first, second = (
        runs.load(f'{x.work_dir}/iter_6.pth') for x in (cfg, again)
    )
    keys = 'pseudo_label_teacher', 'pseudo_label_teacher_2'
    for key in keys:
        assert first[key]['steps'] == 6
        runs.assert_same(first[key], second[key])
    weights = [first[k]['module.decode_head.conv_seg.weight'] for k in keys]
    assert not (weights[0] == weights[1]).all()


@pytest.mark.parametrize('name', ['loss_soft_ce', 'loss_kd_a', 'loss_pseudo_'])
def test_losses_of_the_user_are_weighted_whatever_their_names(
    cfg, teacher, name
):
    own = dict(type='CrossEntropyLoss', loss_name=name)
    cfg.model.decode_head.loss_decode = own
    plain = runs.train(cfg).logs[0]
    quarter = runs.distil(teacher, label_weight=0.25)
    half = runs.distil(teacher, label_weight=0.5)
    for hooks in ([quarter], [half, half]):
        found = runs.train(cfg, *hooks).logs[0][f'decode.{name}']
        assert found == pytest.approx(plain[f'decode.{name}'] / 4)


def test_name_that_a_hook_needs(cfg, teacher):
    own = dict(type='CrossEntropyLoss', loss_name='loss_kd_jml_ce')
    cfg.model.decode_head.loss_decode = own
    match = "'decode.loss_kd_jml_ce' twice"
    runs.refuse(cfg, match, runs.distil(teacher))
