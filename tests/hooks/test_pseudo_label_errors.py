"""What the hook refuses, when, and what the log of the run says then."""

from __future__ import annotations

import copy
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmseg_jml.hooks import PseudoLabelHook
from tests.tools import run

from .distillation import Lessons, train
from .semi import PLAIN, PSEUDO, learn, unlabeled, write_pictures

LIST = 'unlabeled_dataloader to list images but got'
NEXT = 'unlabeled_dataloader to give the next images but got'


def refuse(cfg, error, match, loader, **options):
    """Trains; the run stops with an error that its log explains."""
    hook = dict(type=PSEUDO, unlabeled_dataloader=loader, **options)
    with pytest.raises(error, match=match) as caught:
        train(cfg, hook)
    (log,) = Path(cfg.work_dir).glob('*/*.log')
    reason = f'PseudoLabelHook stops the run. {caught.value}'
    assert reason in log.read_text()


@pytest.mark.parametrize(
    ('folder', 'changes', 'named'),
    [
        ('nowhere', {}, '.*nowhere.* Check data_root'),
        ('empty', {}, '.* Check data_root'),
        ('pictures', dict(img_suffix='.jpg'), '.* Check data_root'),
        ('pictures', dict(ann_file='nowhere.txt'), '.*nowhere.txt'),
    ],
)
def test_no_images(cfg, pictures, tmp_path, folder, changes, named):
    (tmp_path / 'empty').mkdir()
    loader = unlabeled(tmp_path / folder)
    loader['dataset'].update(changes)
    refuse(cfg, ValueError, f'{LIST} {named}', loader)


def test_unknown_dataset(cfg, pictures):
    loader = unlabeled(pictures)
    loader['dataset']['type'] = 'NoDataset'
    refuse(cfg, KeyError, 'NoDataset', loader)


def damage(folder: Path, content: bytes) -> None:
    for path in folder.glob('*.png'):
        path.write_bytes(content)


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('content', [b'', b'no picture', None])
def test_damaged_image(cfg, pictures, workers, content):
    if content is None:  # cut
        content = (pictures / 'u0.png').read_bytes()[:60]
    damage(pictures, content)
    loader = unlabeled(pictures, num_workers=workers)
    refuse(cfg, RuntimeError, rf'{NEXT} (?s:.*)u\d\.png', loader)


def test_image_that_vanished(cfg, pictures):
    loader = unlabeled(pictures)
    loader['dataset']['ann_file'] = 'list.txt'
    (pictures / 'list.txt').write_text('gone\n')
    refuse(cfg, RuntimeError, rf'{NEXT} (?s:.*)gone\.png', loader)


def test_images_larger_than_the_batch(cfg, pictures):
    loader = unlabeled(pictures)
    loader['dataset']['pipeline'] = [
        dict(type='LoadImageFromFile'),
        dict(type='PackSegInputs'),
    ]
    refuse(
        cfg,
        ValueError,
        r'size=\(32, 32\) at most but got one of \(48, 48\)',
        loader,
    )


def test_crop_that_is_larger_than_images(cfg, tmp_path):
    """They are padded, and the padding counts neither here nor there."""
    small = write_pictures(tmp_path / 'small', (20, 28))
    loader = unlabeled(small)
    loader['dataset']['pipeline'] = [
        dict(type='LoadImageFromFile'),
        dict(type='RandomCrop', crop_size=(32, 32)),
        dict(type='PackSegInputs'),
    ]

    lessons = Lessons()
    record, steps = learn(
        cfg,
        small,
        lessons,
        unlabeled_dataloader=loader,
        threshold=0.0,
        views=2,
    )
    assert steps.images[0].shape == (2, 3, 32, 32)
    assert record.logs[0]['pseudo_confident'] == 1
    for student, targets, _ in lessons.found:
        label = student.outputs['decode'].label
        weight = targets['decode'].weight
        assert weight.shape == (4, 32, 32)
        assert (weight[:, :20, :28] == 1).all()
        assert weight.sum() == 4 * 20 * 28
        assert torch.equal(label == 255, weight == 0)


def test_images_of_several_sizes_without_a_size_of_the_batch(cfg, tmp_path):
    """They are padded to the largest, as labelled ones are."""
    cfg.model.data_preprocessor.update(size=None, size_divisor=8)
    mixed = write_pictures(tmp_path / 'mixed', (24, 40), 1)
    shutil.move(mixed / 'u0.png', mixed / 'v.png')
    other = write_pictures(tmp_path / 'other', (40, 24), 1)
    shutil.move(other / 'u0.png', mixed / 'u.png')
    loader = unlabeled(mixed)
    loader['dataset']['pipeline'] = [
        dict(type='LoadImageFromFile'),
        dict(type='PackSegInputs'),
    ]
    record, steps = learn(
        cfg, mixed, unlabeled_dataloader=loader, threshold=0.0
    )
    assert steps.images[0].shape == (2, 3, 40, 40)
    assert record.logs[0]['pseudo_confident'] == pytest.approx(1)


def test_other_classes(cfg, pictures):
    loader = unlabeled(pictures)
    loader['dataset']['metainfo'] = dict(classes=('sky', 'car', 'road', 'sea'))
    refuse(
        cfg,
        ValueError,
        r'3 classes of the labelled images \(sky, road, car\), or none, but '
        r'got 4 \(sky, car, road, sea\)',
        loader,
    )


def test_no_classes(cfg, pictures):
    loader = unlabeled(pictures)
    loader['dataset'].pop('metainfo')
    assert learn(cfg, pictures, unlabeled_dataloader=loader)[0].logs


@TRANSFORMS.register_module()
class Die(BaseTransform):
    """Ends the process while the training waits for it."""

    def transform(self, results: dict) -> dict:
        time.sleep(1)
        os._exit(3)


@pytest.mark.parametrize('apart', [False, True])
def test_worker_that_dies(cfg, pictures, tmp_path, apart):
    """The run says so, and its own process ends too."""
    loader = unlabeled(pictures, num_workers=1)
    loader['dataset']['pipeline'] = [
        dict(type='LoadImageFromFile'),
        dict(type='Die'),
    ]
    match = rf'{NEXT} RuntimeError: (?s:.*)worker.*exited unexpectedly'
    if not apart:
        refuse(cfg, RuntimeError, match, loader)
        return
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.custom_imports.imports.append('tests.hooks.test_pseudo_label_errors')
    cfg.custom_hooks.append(dict(type=PSEUDO, unlabeled_dataloader=loader))
    cfg.dump(tmp_path / 'run.py')
    done = run.apart(
        sys.executable,
        'tools/train.py',
        tmp_path / 'run.py',
        '--no-check',  # which would load the image that kills
        cwd=run.ROOT,
    )
    assert done.returncode == 1
    assert 'exited unexpectedly with exit code 3' in done.stderr


@pytest.mark.parametrize(
    ('options', 'error', 'match'),
    [
        (dict(momentum=0.001), ValueError, r'momentum.*0\.5, 1.*got 0\.001'),
        (dict(momentum=1.0), ValueError, r'momentum, .* got 1\.0'),
        (dict(teacher='x'), ValueError, "teacher .* got 'x'"),
        (dict(teacher=dict(config='a')), ValueError, "got {'config': 'a'}"),
        (
            dict(teacher='self', momentum=0.1, warm_up=-1),
            ValueError,
            'warm_up to be 0 or more but got -1',
        ),
        (dict(warm_up=True), ValueError, 'warm_up .* got True'),
        (dict(cutmix_from='other'), ValueError, "'batch' or .* got 'other'"),
        (dict(feature_dropout=2, views=2), ValueError, 'feature_.* got 2'),
        (dict(feature_dropout=0.5), ValueError, 'views=2 for .* but got 1'),
        (
            dict(threshold=dict(type='moving')),
            ValueError,
            "momentum=0.999.*, but got {'type': 'moving'}",
        ),
        (
            dict(threshold=dict(type='adaptive', end=1)),
            ValueError,
            "threshold .* but got .*'end': 1",
        ),
        (
            dict(threshold=dict(type='adaptive', start=2)),
            ValueError,
            r'start of threshold .* \[0, 1\] but got 2',
        ),
        (dict(views=0), ValueError, 'views .* got 0'),
        (dict(views=1.5), ValueError, r'views .* got 1\.5'),
        (dict(threshold=2), ValueError, r'threshold .* \[0, 1\] but got 2'),
        (dict(cutmix=-0.1), ValueError, r'cutmix .* got -0\.1'),
        (dict(threshold='0.9'), ValueError, "threshold .* got '0.9'"),
        (dict(unlabeled_dataloader={}), ValueError, 'a dataset but got {}'),
        (dict(unlabeled_dataloader=[]), ValueError, r'dataset but got \[\]'),
        (dict(loss_weight=-1), ValueError, 'loss_weight .* got -1'),
        (dict(label_weight='1'), TypeError, "label_weight .* got '1'"),
        (
            dict(teacher='self', evaluate_teacher=True),
            ValueError,
            "teacher='ema' for evaluate_teacher=True",
        ),
    ],
)
def test_options(options, error, match):
    with pytest.raises(error, match=match):
        PseudoLabelHook(
            **(dict(unlabeled_dataloader=unlabeled('x')) | options)
        )


@pytest.mark.parametrize('name', ['aux_1', 'decode.1'])
def test_outputs_that_the_student_does_not_have(cfg, pictures, name):
    refuse(cfg, ValueError, name, unlabeled(pictures), outputs=[name])


def test_losses_that_take_labels(cfg, pictures):
    entry = dict(type='CrossEntropyLoss')
    match = 'takes soft targets.*CrossEntropyLoss'
    refuse(cfg, ValueError, match, unlabeled(pictures), loss=entry)


def test_without_kornia(cfg, pictures, monkeypatch):
    """Only who distorts needs it."""
    for name in ('kornia', 'kornia.augmentation'):
        monkeypatch.setitem(sys.modules, name, None)
    learn(copy.deepcopy(cfg), pictures, **PLAIN)
    cfg.work_dir += '_again'
    refuse(cfg, ImportError, r"mmseg_jml\[semi\]'", unlabeled(pictures))


@pytest.mark.parametrize('name', ['RandomAffine', 'Normalise', 'auto'])
def test_distortions_that_move_pixels_or_are_unknown(cfg, pictures, name):
    refuse(
        cfg,
        ValueError,
        f'intensity augmentations .* got {name!r}',
        unlabeled(pictures),
        distortions=[dict(type=name)],
    )


@pytest.mark.parametrize('distortions', ['unimatch', [], None])
def test_grey_images(cfg, pictures, distortions):
    """Distortions are those of colours; all else takes any channels."""
    cfg.model.backbone.in_channels = 1
    cfg.model.data_preprocessor.update(mean=[128.0], std=[64.0])
    grey = dict(type='LoadImageFromFile', color_type='grayscale')
    cfg.train_dataloader.dataset.pipeline[0] = grey
    del cfg.train_dataloader.dataset.pipeline[5]  # photometric
    loader = unlabeled(pictures)
    if distortions:
        refuse(cfg, ValueError, 'three channels .* got 1;', loader)
    else:
        record, steps = learn(cfg, pictures, distortions=distortions)
        assert steps.images[0].shape == (2, 1, 32, 32)
        assert len(record.logs) == 3


def test_run_that_failed_can_start_again(cfg, pictures):
    """Hooks of the first attempt are gone, so that terms count once."""
    runner_hook = PseudoLabelHook(unlabeled(pictures), threshold=0.0)
    kept = (pictures / 'u0.png').read_bytes()
    damage(pictures, b'')
    with pytest.raises(RuntimeError, match='next images'):
        train(cfg, runner_hook)
    damage(pictures, kept)
    cfg.work_dir += '_again'
    record = train(cfg, runner_hook)
    assert not record.model._forward_hooks
    assert record.logs[0]['decode.loss_pseudo_jml_ce'] > 0
