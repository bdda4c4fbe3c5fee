"""The weak view that stock training pipelines turn into."""

from __future__ import annotations

import pytest
from mmengine.runner import Runner

from mmseg_jml.hooks.weak_pipeline import weak_pipeline
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
