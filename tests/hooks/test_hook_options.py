"""Options of no meaning are refused in sentences; empty ones mean none."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_jml.hooks import DistillationHook, PseudoLabelHook, SoftLabelHook

from .distillation import KD, Lessons, assert_same, train, write_teacher
from .semi import PSEUDO, learn, unlabeled

PATHS = dict(teacher='a.py', checkpoint='b.pth')
LOADER = dict(unlabeled_dataloader=unlabeled(Path('x')))


def logged(cfg) -> str:
    return ''.join(p.read_text() for p in Path(cfg.work_dir).glob('*/*.log'))


@pytest.mark.parametrize(
    ('hook', 'arguments'),
    [
        (DistillationHook, PATHS),
        (PseudoLabelHook, LOADER),
        (SoftLabelHook, {}),
    ],
)
@pytest.mark.parametrize(
    ('options', 'error', 'match'),
    [
        (
            dict(loss='KLDivergenceLoss'),
            TypeError,
            r"loss to be an entry .*'KLDivergenceLoss'. Write "
            r"loss=dict\(type='KLDivergenceLoss'\)",
        ),
        (dict(loss=False), TypeError, r'\[\] for none, but got False\.'),
        (dict(loss=[{}]), TypeError, r'got \[\{\}\]\.'),
        (dict(auxiliary_loss=''), TypeError, "auxiliary_loss .* got ''"),
        (dict(outputs={}), ValueError, 'outputs .* got {}. Leave it out'),
        (dict(outputs='decode'), ValueError, "outputs .* got 'decode'. Leave"),
        (
            dict(label_weight=dict(type='linear', start=1, stop=0, end=0.5)),
            ValueError,
            'end of label_weight to be an iteration, .* but got 0.5',
        ),
        (
            dict(label_weight=dict(type='linear', start=1, begin=True)),
            ValueError,
            'begin of label_weight .* got True',
        ),
    ],
)
def test_options_of_every_hook(hook, arguments, options, error, match):
    with pytest.raises(error, match=match):
        hook(**arguments, **options)


@pytest.mark.parametrize(
    ('options', 'error', 'match'),
    [
        (
            dict(checkpoint=None),
            TypeError,
            'checkpoint to be the path or URL .* but got None',
        ),
        (dict(checkpoint=['a', None]), TypeError, "got .'a', None."),
        (dict(teacher=None), TypeError, 'teacher to be the path .* got None'),
        (dict(teacher=[]), ValueError, '0 configs and 1 checkpoints'),
        (dict(teacher=['a'] * 3), ValueError, '3 configs and 1 checkpoints'),
        (dict(checkpoint=[]), ValueError, '0 checkpoints'),
        (dict(amp='half'), ValueError, "amp .* but got 'half'"),
        (dict(label_weight=-1), ValueError, 'label_weight .* got -1'),
        (dict(teacher_weight='1'), TypeError, "teacher_weight .* got '1'"),
        (dict(temperature=0), ValueError, 'temperature .* 0.01 but got 0'),
        (
            dict(outputs=['decode']),
            ValueError,
            r"dict\(decode='decode', aux='decode'\), but got \['decode'\]",
        ),
        (dict(outputs=dict(decode=1)), ValueError, "got {'decode': 1}"),
    ],
)
def test_options_of_distillation(options, error, match):
    with pytest.raises(error, match=match):
        DistillationHook(**(PATHS | options))


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(cutmix=True), r'cutmix to be a number in \[0, 1\] but got True'),
        (dict(threshold=False), 'threshold .* got False'),
        (dict(views=True), 'views .* got True'),
        (dict(momentum=True), r'momentum, the share .* but got True'),
        (
            dict(distortions=dict(type='ColorJitter')),
            r"distortions .* a list of .* got {'type': 'ColorJitter'}",
        ),
        (dict(distortions='weak'), "distortions .* got 'weak'"),
        (dict(distortions=['ColorJitter']), r"got \['ColorJitter'\]"),
    ],
)
def test_options_of_pseudo_labels(options, match):
    with pytest.raises(ValueError, match=match):
        PseudoLabelHook(**(LOADER | options))


def test_misspelled_option_of_kornia(cfg, pictures):
    entry = dict(type='ColorJitter', brightnes=0.5)
    with pytest.raises(
        ValueError,
        match=r"'ColorJitter' of distortions .* brightness, .* 'brightnes'",
    ):
        learn(cfg, pictures, distortions=[entry])


def test_pipeline_that_does_not_pack(cfg, pictures):
    loader = unlabeled(pictures)
    loader['dataset']['pipeline'] = [
        dict(type='LoadImageFromFile'),
        dict(type='RandomCrop', crop_size=(32, 32)),
    ]
    with pytest.raises(
        ValueError,
        match='inputs and data_samples but got .*img.* end with PackSegInputs',
    ):
        learn(cfg, pictures, unlabeled_dataloader=loader)


@pytest.mark.parametrize('distortions', [None, []])
def test_no_distortions(cfg, pictures, distortions):
    lessons = Lessons()
    _, steps = learn(
        cfg, pictures, lessons, distortions=distortions, cutmix=0.0
    )
    assert torch.equal(lessons.found[0].student.inputs, steps.images[0])


def terms(record) -> set:
    return {name for name in record.logs[0] if 'kd' in name or 'pseu' in name}


def test_no_loss_means_none(cfg, teacher, pictures):
    record = train(cfg, dict(type=KD, loss=[], **teacher))
    assert terms(record) == {'aux.loss_kd_ce'}
    record = train(cfg, dict(type=KD, auxiliary_loss=(), **teacher))
    assert terms(record) == {'decode.loss_kd_jml_ce'}
    record, _ = learn(cfg, pictures, auxiliary_loss=[])
    assert terms(record) == {'decode.loss_pseudo_jml_ce', 'pseudo_confident'}
    with pytest.raises(
        ValueError,
        match=r'decode, aux but got loss=\[\] and auxiliary_loss=\[\]. A wei',
    ):
        train(cfg, dict(type=KD, loss=[], auxiliary_loss=[], **teacher))


def test_auxiliary_head_without_a_partner(cfg, tmp_path):
    """It keeps half of its loss, and the log says so."""
    model = copy.deepcopy(cfg.model)
    model.auxiliary_head = None
    paths = write_teacher(tmp_path, model)
    train(cfg, dict(type=KD, **paths))
    told = "outputs={'decode': 'decode', 'aux': 'decode'} lets it learn"
    assert 'partner of aux of the student' in logged(cfg)
    assert told in logged(cfg)
    cfg.work_dir += '_named'
    pairs = dict(decode='decode', aux='decode')
    record = train(cfg, dict(type=KD, outputs=pairs, **paths))
    assert terms(record) == {'decode.loss_kd_jml_ce', 'aux.loss_kd_ce'}
    assert 'partner' not in logged(cfg)


@pytest.mark.parametrize('kind', ['config', 'dict', 'model'])
def test_teacher_that_is_loaded(cfg, teacher, kind):
    """As a config, also in custom_hooks, and in a list."""
    expected = train(cfg, dict(type=KD, **teacher))
    loaded = Config.fromfile(teacher['teacher'])
    value = {
        'config': loaded,
        'dict': loaded.to_dict(),
        'model': loaded.model,
    }[kind]
    for one in (value, [value]):
        hook = DistillationHook(one, teacher['checkpoint'])
        record = train(cfg, hook)
        assert record.logs == expected.logs
    record = train(cfg, dict(type=KD, **(teacher | dict(teacher=value))))
    assert record.logs == expected.logs


def test_teacher_from_an_installed_package(cfg, tmp_path):
    name = 'mmseg::unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py'
    with pytest.raises(FileNotFoundError, match=r'nowhere\.pth'):
        train(cfg, dict(type=KD, teacher=name, checkpoint='nowhere.pth'))
    for wrong, match in (
        ('mmseg::unet/nothing.py', 'mmseg::unet/nothing.py.*is no file'),
        ('nobody::a.py', "no package 'nobody'"),
        ('a b::c.py', "no package 'a b'"),
    ):
        with pytest.raises(FileNotFoundError, match=match):
            train(cfg, dict(type=KD, teacher=wrong, checkpoint='b.pth'))


def test_opt_out_of_class_names(cfg, teacher, pictures):
    checkpoint = torch.load(teacher['checkpoint'], weights_only=True)
    checkpoint['meta'] = dict(CLASSES=('ciel', 'rue', 'voiture'))
    torch.save(checkpoint, teacher['checkpoint'])
    with pytest.raises(ValueError, match='got one of ciel.*check_classes=Fal'):
        train(cfg, dict(type=KD, **teacher))
    assert train(cfg, dict(type=KD, check_classes=False, **teacher)).logs

    loader = unlabeled(pictures)
    loader['dataset']['metainfo'] = dict(classes=('ciel', 'rue', 'voiture'))
    hook = dict(type=PSEUDO, unlabeled_dataloader=loader)
    with pytest.raises(ValueError, match='got 3 .ciel.*check_classes=False'):
        train(cfg, hook)
    assert train(cfg, dict(hook, check_classes=False)).logs


def test_opt_out_of_strict_loading(cfg, teacher):
    """What fits is loaded; what does not is logged."""
    expected = train(cfg, dict(type=KD, **teacher))
    checkpoint = torch.load(teacher['checkpoint'], weights_only=True)
    checkpoint['state_dict']['decode_head.extra'] = torch.zeros(1)
    torch.save(checkpoint, teacher['checkpoint'])
    with pytest.raises(ValueError, match='extra.*strict=False loads what fit'):
        train(cfg, dict(type=KD, **teacher))
    record = train(cfg, dict(type=KD, strict=False, **teacher))
    assert record.logs == expected.logs
    assert_same(record.gradients[0], expected.gradients[0])
    assert '1 unexpected: decode_head.extra' in logged(cfg)

    name = 'decode_head.conv_seg.weight'
    checkpoint['state_dict'][name] = torch.zeros(7, 1)
    torch.save(checkpoint, teacher['checkpoint'])
    assert train(cfg, dict(type=KD, strict=False, **teacher)).logs
    assert f'1 of another shape: {name} (7, 1) for' in logged(cfg)

    torch.save(dict(state_dict=dict(a=torch.zeros(1))), teacher['checkpoint'])
    with pytest.raises(ValueError, match='Does it belong to this config'):
        train(cfg, dict(type=KD, strict=False, **teacher))
