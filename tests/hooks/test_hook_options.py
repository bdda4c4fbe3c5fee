"""Options of no meaning are refused in sentences; empty ones mean none."""

import copy
import inspect
from doctest import DocTestParser
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_jml import hooks
from mmseg_jml.hooks import DistillationHook, PseudoLabelHook, SoftLabelHook

from . import runs, semi
from .test_soft_label_hook import set_sources

HOOKS = {
    DistillationHook: dict(teacher='a.py', checkpoint='b.pth'),
    PseudoLabelHook: dict(unlabeled_dataloader=semi.unlabeled(Path('x'))),
    SoftLabelHook: {},
}
LINEAR = dict(type='linear', start=1)


def case(match, error=ValueError, **options):
    return pytest.param(options, error, match)


def changed(entry, **options):
    return [dict(entry, **options)]


def adaptive(**options):
    return dict(type='adaptive', **options)


@pytest.mark.parametrize('hook', HOOKS)
@pytest.mark.parametrize(
    ('options', 'error', 'match'),
    [
        case(
            r"loss to be an entry .*'KLDivergenceLoss'. Write "
            r"loss=dict\(type='KLDivergenceLoss'\)",
            TypeError,
            loss='KLDivergenceLoss',
        ),
        case(r'\[\] for none, but got False\.', TypeError, loss=False),
        case(r'got \[\{\}\]\.', TypeError, loss=[{}]),
        case("auxiliary_loss .* got ''", TypeError, auxiliary_loss=''),
        case('outputs .* got {}. Leave it out', outputs={}),
        case("outputs .* got 'decode'. Leave", outputs='decode'),
        case(
            'end of label_weight to be an iteration, .* but got 0.5',
            label_weight=dict(LINEAR, stop=0, end=0.5),
        ),
        case(
            'begin of label_weight .* got True',
            label_weight=dict(LINEAR, begin=True),
        ),
    ],
)
def test_options_of_every_hook(hook, options, error, match):
    with pytest.raises(error, match=match):
        hook(**(HOOKS[hook] | options))


@pytest.mark.parametrize(
    ('options', 'error', 'match'),
    [
        case(
            'checkpoint to be the path or URL .* but got None',
            TypeError,
            checkpoint=None,
        ),
        case("got .'a', None.", TypeError, checkpoint=['a', None]),
        case('teacher to be the path .* got None', TypeError, teacher=None),
        case('0 configs and 1 checkpoints', teacher=[]),
        case('3 configs and 1 checkpoints', teacher=['a'] * 3),
        case('0 checkpoints', checkpoint=[]),
        case("amp .* but got 'half'", amp='half'),
        case(r'amp to be .* or None but got \[\]', amp=[]),
        case('label_weight .* got -1', label_weight=-1),
        case("teacher_weight .* got '1'", TypeError, teacher_weight='1'),
        case('temperature .* 0.01 but got 0', temperature=0),
        case(
            r"dict\(decode='decode', aux='decode'\), but got \['decode'\]",
            outputs=['decode'],
        ),
        case("got {'decode': 1}", outputs=dict(decode=1)),
        case("pairs .* got 'backbone'", TypeError, features='backbone'),
        case("{'student': 'a'}", TypeError, features=[dict(student='a')]),
        case(
            "'attention' or 'channel' but got 'mse'",
            features=changed(runs.ATTENTION, measure='mse'),
        ),
        case(
            'loss_weight of features .* got -1',
            features=changed(runs.ATTENTION, loss_weight=-1),
        ),
        case(
            'temperature of features .* 0.01 but got 0',
            features=changed(runs.CHANNEL, temperature=0),
        ),
        case(r'1 numbers .* \[1, 2\]', teacher_weights=[1, 2]),
        case(r'above 0.* got \[0\]', teacher_weights=[0]),
    ],
)
def test_options_of_distillation(options, error, match):
    test_options_of_every_hook(DistillationHook, options, error, match)


@pytest.mark.parametrize(
    ('options', 'error', 'match'),
    [
        case(r'cutmix to be a number in \[0, 1\] but got True', cutmix=True),
        case(r'cutmix .* got -0\.1', cutmix=-0.1),
        case("'batch' or .* got 'other'", cutmix_from='other'),
        case('threshold .* got False', threshold=False),
        case(r'threshold .* \[0, 1\] but got 2', threshold=2),
        case("threshold .* got '0.9'", threshold='0.9'),
        case(
            "momentum=0.999.*, but got {'type': 'moving'}",
            threshold=dict(type='moving'),
        ),
        case("threshold .* but got .*'end': 1", threshold=adaptive(end=1)),
        case(
            r'start of threshold .* \[0, 1\] but got 2',
            threshold=adaptive(start=2),
        ),
        case('views .* got True', views=True),
        case('views .* got 0', views=0),
        case(r'views .* got 1\.5', views=1.5),
        case('feature_.* got 2', feature_dropout=2, views=2),
        case('views=2 for .* but got 1', feature_dropout=0.5),
        case(r'momentum, the share .* but got True', momentum=True),
        case(r'momentum.*0\.5, 1.*got 0\.001', momentum=0.001),
        case(r'momentum, .* got 1\.0', momentum=1.0),
        case(
            r"distortions .* a list of .* got {'type': 'ColorJitter'}",
            distortions=dict(type='ColorJitter'),
        ),
        case("distortions .* got 'weak'", distortions='weak'),
        case(r"got \['ColorJitter'\]", distortions=['ColorJitter']),
        case("teacher .* got 'x'", teacher='x'),
        case("got {'config': 'a'}", teacher=dict(config='a')),
        case(
            "teacher='ema' for evaluate_teacher=True",
            teacher='self',
            evaluate_teacher=True,
        ),
        case(
            'warm_up to be 0 or more but got -1',
            teacher='self',
            momentum=0.1,
            warm_up=-1,
        ),
        case('warm_up .* got True', warm_up=True),
        case('a dataset but got {}', unlabeled_dataloader={}),
        case(r'dataset but got \[\]', unlabeled_dataloader=[]),
        case('loss_weight .* got -1', loss_weight=-1),
        case("label_weight .* got '1'", TypeError, label_weight='1'),
    ],
)
def test_options_of_pseudo_labels(options, error, match):
    test_options_of_every_hook(PseudoLabelHook, options, error, match)


def test_misspelled_option_of_kornia(cfg, pictures):
    entry = dict(type='ColorJitter', brightnes=0.5)
    match = r"'ColorJitter' of distortions .* brightness, .* 'brightnes'"
    runs.refuse(cfg, match, semi.pseudo(pictures, distortions=[entry]))


@pytest.mark.parametrize('distortions', [None, []])
def test_no_distortions(cfg, pictures, distortions):
    _, steps = semi.learn(cfg, pictures, distortions=distortions, cutmix=0.0)
    assert torch.equal(steps.found[0].student.inputs, steps.images[0])


def terms(record) -> set:
    return {name for name in record.logs[0] if 'kd' in name or 'pseu' in name}


def test_no_loss_means_none(cfg, teacher, pictures):
    record = runs.train(cfg, runs.distil(teacher, loss=[]))
    assert terms(record) == {'aux.loss_kd_ce'}
    record = runs.train(cfg, runs.distil(teacher, auxiliary_loss=()))
    assert terms(record) == {'decode.loss_kd_jml_ce'}
    record, _ = semi.learn(cfg, pictures, auxiliary_loss=[])
    assert terms(record) == {'decode.loss_pseudo_jml_ce', 'pseudo_confident'}
    match = r'decode, aux but got loss=\[\] and auxiliary_loss=\[\]. A wei'
    nothing = runs.distil(teacher, loss=[], auxiliary_loss=[])
    runs.refuse(cfg, match, nothing)


def test_auxiliary_head_without_a_partner(cfg, tmp_path):
    """It keeps half of its loss, and the log says so."""
    model = copy.deepcopy(cfg.model)
    model.auxiliary_head = None
    paths = runs.write_teacher(tmp_path, model)
    runs.train(cfg, runs.distil(paths))
    told = "outputs={'decode': 'decode', 'aux': 'decode'} lets it learn"
    assert 'partner of aux of the student' in runs.log_text(cfg)
    assert told in runs.log_text(cfg)
    cfg.work_dir += '_named'
    pairs = dict(decode='decode', aux='decode')
    record = runs.train(cfg, runs.distil(paths, outputs=pairs))
    assert terms(record) == {'decode.loss_kd_jml_ce', 'aux.loss_kd_ce'}
    assert 'partner' not in runs.log_text(cfg)


@pytest.mark.parametrize(
    'kind', [copy.deepcopy, Config.to_dict, lambda loaded: loaded.model]
)
def test_teacher_that_is_loaded(cfg, teacher, kind):
    """As a config, also in custom_hooks, and in a list."""
    expected = runs.train(cfg, runs.distil(teacher))
    value = kind(Config.fromfile(teacher['teacher']))
    for hook in (
        DistillationHook(value, teacher['checkpoint']),
        DistillationHook([value], teacher['checkpoint']),
        dict(type=runs.KD, **(teacher | dict(teacher=value))),
    ):
        assert runs.train(cfg, hook).logs == expected.logs


@pytest.mark.parametrize(
    ('config', 'match'),
    [
        # what it does not find is the checkpoint
        ('mmseg::unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py', r'b\.pth'),
        ('mmseg::unet/nothing.py', 'mmseg::unet/nothing.py.*is no file'),
        ('nobody::a.py', "no package 'nobody'"),
        ('a b::c.py', "no package 'a b'"),
    ],
)
def test_teacher_from_an_installed_package(cfg, config, match):
    hook = dict(type=runs.KD, teacher=config, checkpoint='b.pth')
    runs.refuse(cfg, match, hook, FileNotFoundError)


def test_opt_out_of_class_names(cfg, teacher, pictures):
    foreign = ('ciel', 'rue', 'voiture')
    runs.change_checkpoint(teacher, meta=dict(CLASSES=foreign))
    changes = dict(metainfo=dict(classes=foreign))
    loader = semi.unlabeled(pictures, changes=changes)
    for hook, match in (
        (runs.distil(teacher), 'got one of ciel.*check_classes=Fal'),
        (
            semi.pseudo(loader),
            'got 3 .ciel.*check_classes=False',
        ),
    ):
        runs.refuse(cfg, match, hook)
        assert runs.train(cfg, dict(hook, check_classes=False)).logs


def test_opt_out_of_strict_loading(cfg, teacher):
    """What fits is loaded; what does not is logged."""
    strict = runs.distil(teacher)
    loose = dict(strict, strict=False)
    expected = runs.train(cfg, strict)
    state = runs.weights_of(teacher)
    state['decode_head.extra'] = torch.zeros(1)
    runs.change_checkpoint(teacher, state_dict=state)
    runs.refuse(cfg, 'extra.*strict=False loads what fit', strict)
    record = runs.train(cfg, loose)
    assert record.logs == expected.logs
    runs.assert_same(record.gradients[0], expected.gradients[0])
    assert '1 unexpected: decode_head.extra' in runs.log_text(cfg)

    name = 'decode_head.conv_seg.weight'
    state[name] = torch.zeros(7, 1)
    runs.change_checkpoint(teacher, state_dict=state)
    assert runs.train(cfg, loose).logs
    assert f'1 of another shape: {name} (7, 1) for' in runs.log_text(cfg)

    runs.change_checkpoint(teacher, state_dict=dict(a=torch.zeros(1)))
    runs.refuse(cfg, 'Does it belong to this config', loose)


@pytest.mark.parametrize(
    ('hook', 'logged'),
    [
        ('DistillationHook', 'decode.loss_kd_kl'),
        ('SoftLabelHook', 'decode.loss_soft_jml_ce'),
        ('SoftLabelVisualizationHook', 'decode.loss_jml_ce'),
    ],
)
def test_examples_of_docstrings_train(cfg, teacher, hook, logged):
    set_sources(cfg, {'/masks/': '/masks/'})
    smoothing = dict(mode='uniform', epsilon=0.1)
    cfg.model.decode_head.loss_decode.label_smoothing = smoothing
    names: dict = {}
    doc = inspect.getdoc(getattr(hooks, hook))
    for part in DocTestParser().get_examples(doc):
        exec(part.source, names)
    (entry,) = names['custom_hooks']
    if 'teacher' in entry:
        entry.update(teacher)
    assert logged in runs.train(cfg, entry).logs[0]
