"""The weak view that stock training pipelines turn into."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmcv.transforms import BaseTransform
from mmengine.runner import Runner
from mmseg.registry import TRANSFORMS

from mmseg_jml.supervision.weak_pipeline import weak_pipeline
from tests.zoo import catalog

from .distillation import train
from .semi import PSEUDO, Steps, unlabeled, write_pictures

CROPPED = ['LoadImageFromFile', 'RandomResize', 'RandomCrop', 'RandomFlip']
STOCK = {
    'pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py': CROPPED,
    'pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py': CROPPED,
    'pspnet/pspnet_r50-d8_4xb4-20k_voc12aug-512x512.py': CROPPED,
    'stdc/stdc1_4xb12-80k_cityscapes-512x1024.py': CROPPED,
    'unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py': CROPPED,
    'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py': CROPPED,
    'mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024.py': [
        'LoadImageFromFile',
        'RandomChoiceResize',
        'RandomCrop',
        'RandomFlip',
    ],
}


def innermost(dataset) -> list:
    """The pipeline of a stock data set, looked up by hand."""
    if 'pipeline' in dataset:
        return dataset.pipeline
    return innermost(dataset.get('dataset') or dataset.datasets[0])


@pytest.mark.parametrize('name', STOCK)
def test_stock_pipelines(name):
    """Colours stay, labels go, the crop asks for no label."""
    stock = innermost(catalog.read(name).train_dataloader.dataset)
    before = str(stock)
    weak = weak_pipeline(stock)
    assert str(stock) == before
    assert [t['type'] for t in weak] == [*STOCK[name], 'PackSegInputs']
    (crop,) = (t for t in weak if t['type'] == 'RandomCrop')
    assert crop['cat_max_ratio'] == 1.0
    (stock_crop,) = (t for t in stock if t['type'] == 'RandomCrop')
    assert crop['crop_size'] == stock_crop['crop_size']


def test_transforms_of_this_package_and_with_a_scope():
    stock = [
        dict(type='mmseg.LoadImageFromFile'),
        dict(type='mmseg.LoadAnnotations'),
        dict(type='mmseg_jml.LoadSoftLabels'),
        dict(type='LoadDepthAnnotation'),
        dict(type='mmseg.RandomRotate', prob=1, degree=5),
        dict(type='mmseg_jml.PackSoftLabels'),
    ]
    assert [t['type'] for t in weak_pipeline(stock)] == [
        'mmseg.LoadImageFromFile',
        'mmseg.RandomRotate',
        'PackSegInputs',
    ]


@pytest.mark.parametrize('wrapped', ['repeated', 'joined', 'both'])
def test_wrapped_datasets(cfg, pictures, tmp_path, wrapped):
    """The pipeline is that of the labelled images however deep it lies."""
    other = write_pictures(tmp_path / 'other', number=2)
    parts = [
        unlabeled(pictures)['dataset'],
        unlabeled(other)['dataset'],
    ]
    joined = dict(type='ConcatDataset', datasets=parts)
    labelled = cfg.train_dataloader.dataset
    repeated = dict(type='RepeatDataset', times=2)
    cfg.train_dataloader.dataset = {
        'repeated': dict(repeated, dataset=labelled),
        'joined': dict(type='ConcatDataset', datasets=[labelled]),
        'both': dict(
            repeated, dataset=dict(type='ConcatDataset', datasets=[labelled])
        ),
    }[wrapped]
    dataset = {
        'repeated': dict(repeated, dataset=parts[1]),
        'joined': joined,
        'both': dict(repeated, dataset=joined),
    }[wrapped]
    steps = Steps()
    hook = dict(
        type=PSEUDO, unlabeled_dataloader=dict(batch_size=6, dataset=dataset)
    )
    train(cfg, hook, steps)
    assert all(images.shape == (6, 3, 32, 32) for images in steps.images)
    folders = {
        sample.img_path.split('/')[-2]
        for samples in steps.samples
        for sample in samples
    }
    wanted = {'repeated': {'other'}}.get(wrapped, {'pictures', 'other'})
    assert folders == wanted


def test_loader_takes_after_the_labelled_one(cfg, pictures, monkeypatch):
    def keep(loader, *args, **kwargs):
        built.append(loader)
        return build(loader, *args, **kwargs)

    built, build = [], Runner.build_dataloader
    monkeypatch.setattr(Runner, 'build_dataloader', staticmethod(keep))
    cfg.train_cfg.max_iters = 1
    cfg.train_dataloader.update(num_workers=1, persistent_workers=True)
    train(cfg, dict(type=PSEUDO, unlabeled_dataloader=unlabeled(pictures)))
    own = dict(num_workers=0, batch_size=3)
    train(
        cfg, dict(type=PSEUDO, unlabeled_dataloader=unlabeled(pictures, **own))
    )
    first, second = built[1], built[3]
    assert [first[k] for k in ('batch_size', 'num_workers')] == [2, 1]
    assert first['persistent_workers'] is True
    assert [second[k] for k in ('batch_size', 'num_workers')] == [3, 0]
    assert 'persistent_workers' not in second


def logged(cfg) -> str:
    return ''.join(p.read_text() for p in Path(cfg.work_dir).glob('*/*.log'))


def test_transforms_inside_others_and_of_any_size():
    flip, cut = dict(type='RandomFlip', prob=1.0), dict(type='RandomCutOut')
    colour = dict(type='PhotoMetricDistortion')
    stock = [
        dict(type='LoadImageFromFile'),
        dict(type='ResizeShortestEdge', scale=(64, 32), max_size=64),
        dict(type='ResizeToMultiple', size_divisor=8),
        dict(type='CLAHE'),
        dict(type='RandomApply', prob=0.5, transforms=[colour, flip]),
        dict(type='RandomApply', prob=0.5, transforms=colour),
        dict(type='RandomChoice', transforms=[[cut, colour], [colour]]),
    ]
    kept = weak_pipeline(stock)
    assert [t['type'] for t in kept] == [
        'LoadImageFromFile',
        'ResizeShortestEdge',
        'ResizeToMultiple',
        'CLAHE',
        'RandomApply',
        'RandomChoice',
        'PackSegInputs',
    ]
    assert kept[4]['transforms'] == [flip]
    assert kept[5]['transforms'] == [[cut], []]


def test_derived_pipeline_is_logged_with_what_it_lacks(cfg, pictures):
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline.insert(3, dict(type='Invert'))
    train(cfg, dict(type=PSEUDO, unlabeled_dataloader=unlabeled(pictures)))
    text = logged(cfg)
    assert 'Unlabelled images go through LoadImageFromFile(), ' in text
    assert 'RandomCrop(crop_size=(32, 32), cat_max_ratio=1.0), Ran' in text
    assert 'might mix images or need labels: Invert. Give' in text
    assert 'PhotoMetricDistortion. Give' not in text  # by design

    cfg.work_dir += '_own'
    loader = unlabeled(pictures)
    loader['dataset']['pipeline'] = weak_pipeline(pipeline)
    train(cfg, dict(type=PSEUDO, unlabeled_dataloader=loader))
    assert 'Unlabelled images go through' not in logged(cfg)


@TRANSFORMS.register_module()
class Invert(BaseTransform):
    """A transform of the user, of which nothing is known."""

    def transform(self, results: dict) -> dict:
        results['img'] = 255 - results['img']
        return results


def test_mixed_images(cfg, pictures):
    """Loading is in the inner data set there, the rest in the outer."""
    inner = cfg.train_dataloader.dataset
    mosaic = dict(type='RandomMosaic', prob=1.0, img_scale=(48, 48))
    cfg.train_dataloader.dataset = dict(
        type='MultiImageMixDataset',
        dataset=dict(inner, pipeline=inner.pipeline[:2]),
        pipeline=[mosaic, *inner.pipeline[2:]],
    )
    steps = Steps()
    hook = dict(type=PSEUDO, unlabeled_dataloader=unlabeled(pictures))
    train(cfg, hook, steps)
    assert steps.images[0].shape == (2, 3, 32, 32)
    assert 'need labels: RandomMosaic. Give' in logged(cfg)


def test_nothing_to_derive_from(cfg, pictures):
    cfg.train_dataloader.dataset.pipeline[0] = dict(type='ReadImage')
    hook = dict(type=PSEUDO, unlabeled_dataloader=unlabeled(pictures))
    with pytest.raises(
        ValueError, match=r'loads images .*ReadImage.* a pipeline'
    ):
        train(cfg, hook)


@TRANSFORMS.register_module()
class ReadImage(BaseTransform):
    """Loads an image, but its name does not say so."""

    def transform(self, results: dict) -> dict:
        load = TRANSFORMS.build(dict(type='LoadImageFromFile'))
        return load(results)


@pytest.mark.parametrize('size', [1, 2])
def test_cutmix_needs_two_images(cfg, pictures, size):
    loader = unlabeled(pictures, batch_size=size)
    train(cfg, dict(type=PSEUDO, unlabeled_dataloader=loader))
    said = 'cutmix=0.5 does nothing in a batch of one image' in logged(cfg)
    assert said == (size == 1)
