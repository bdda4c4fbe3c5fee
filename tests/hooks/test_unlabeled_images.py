"""The views of unlabelled images, weak and strong, and what counts of them."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.runner import Runner
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmseg_jml.datasets.pixel_marks import FILLER, UNKNOWN, MarkPixels
from mmseg_jml.supervision.pseudo_labels import Views
from mmseg_jml.supervision.strong_views import PhotometricDistortion
from mmseg_jml.supervision.weak_pipeline import weak_pipeline
from tests.tolerances import LOGGED, TENSORS_TWO_WAYS
from tests.zoo import catalog

from . import runs, semi

CROPPED = ['LoadImageFromFile', 'RandomResize', 'RandomCrop', 'RandomFlip']
CITYSCAPES = '_cityscapes-512x1024.py'
STOCK = {
    f'pspnet/pspnet_r18-d8_4xb2-80k{CITYSCAPES}': CROPPED,
    'pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py': CROPPED,
    'pspnet/pspnet_r50-d8_4xb4-20k_voc12aug-512x512.py': CROPPED,
    f'stdc/stdc1_4xb12-80k{CITYSCAPES}': CROPPED,
    'unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py': CROPPED,
    'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py': CROPPED,
    f'mask2former/mask2former_r50_8xb2-90k{CITYSCAPES}': [
        word.replace('RandomResize', 'RandomChoiceResize') for word in CROPPED
    ],
}


def types(pipeline) -> list[str]:
    return [transform['type'] for transform in pipeline]


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
    assert types(weak) == [*STOCK[name], 'PackSegInputs']
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
    kept = ['mmseg.LoadImageFromFile', 'mmseg.RandomRotate', 'PackSegInputs']
    assert types(weak_pipeline(stock)) == kept


@TRANSFORMS.register_module()
class ReadImage(LoadImageFromFile):
    """Loads an image, but its name does not say so."""


@TRANSFORMS.register_module()
class Invert(BaseTransform):
    """A transform of the user, of which nothing is known."""

    def transform(self, results: dict) -> dict:
        return dict(results, img=255 - results['img'])


@TRANSFORMS.register_module()
class TopLeft(BaseTransform):
    """Crops the image, and knows of no label."""

    def transform(self, results: dict) -> dict:
        image = results['img'][:24, :28]
        return dict(results, img=image, img_shape=image.shape[:2])


def joined(*datasets):
    return dict(type='ConcatDataset', datasets=[*datasets])


def repeated(dataset):
    return dict(type='RepeatDataset', times=2, dataset=dataset)


@pytest.mark.parametrize(
    ('wrap', 'own', 'folders'),
    [
        (repeated, lambda one, two: repeated(two), {'other'}),
        (joined, joined, {'pictures', 'other'}),
        (
            lambda dataset: repeated(joined(dataset)),
            lambda one, two: repeated(joined(one, two)),
            {'pictures', 'other'},
        ),
    ],
    ids=['repeated', 'joined', 'both'],
)
def test_wrapped_datasets(cfg, pictures, tmp_path, wrap, own, folders):
    """The pipeline is that of the labelled images however deep it lies."""
    other = semi.write_pictures(tmp_path / 'other', number=2)
    parts = [semi.unlabeled(folder)['dataset'] for folder in (pictures, other)]
    cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)
    _, steps = semi.learn(cfg, dict(batch_size=6, dataset=own(*parts)))
    assert all(images.shape == (6, 3, 32, 32) for images in steps.images)
    paths = [Path(x.img_path) for batch in steps.samples for x in batch]
    assert {path.parent.name for path in paths} == folders


def test_loader_takes_after_the_labelled_one(cfg, pictures, monkeypatch):
    def keep(loader, *args, **kwargs):
        built.append(loader)
        return build(loader, *args, **kwargs)

    built, build = [], Runner.build_dataloader
    monkeypatch.setattr(Runner, 'build_dataloader', staticmethod(keep))
    cfg.train_cfg.max_iters = 1
    cfg.train_dataloader.update(num_workers=1, persistent_workers=True)
    runs.train(cfg, semi.pseudo(pictures))
    semi.learn(cfg, semi.unlabeled(pictures, num_workers=0, batch_size=3))
    first, second = built[1], built[3]
    assert [first[k] for k in ('batch_size', 'num_workers')] == [2, 1]
    assert first['persistent_workers'] is True
    assert [second[k] for k in ('batch_size', 'num_workers')] == [3, 0]
    assert 'persistent_workers' not in second


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
    assert types(kept) == [*types(stock[:5]), 'RandomChoice', 'PackSegInputs']
    assert kept[4]['transforms'] == [flip]
    assert kept[5]['transforms'] == [[cut], []]


def test_derived_pipeline_is_logged_with_what_it_lacks(cfg, pictures):
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline.insert(3, dict(type='Invert'))
    runs.train(cfg, semi.pseudo(pictures))
    text = runs.log_text(cfg)
    assert 'Unlabelled images go through LoadImageFromFile(), ' in text
    assert 'RandomCrop(crop_size=(32, 32), cat_max_ratio=1.0), Ran' in text
    assert 'might mix images or need labels: Invert. Give' in text
    assert 'PhotoMetricDistortion. Give' not in text  # by design

    cfg.work_dir += '_own'
    semi.learn(cfg, semi.unlabeled(pictures, *weak_pipeline(pipeline)))
    assert 'Unlabelled images go through' not in runs.log_text(cfg)


def test_mixed_images(cfg, pictures):
    """Loading is in the inner data set there, the rest in the outer."""
    inner = cfg.train_dataloader.dataset
    mosaic = dict(type='RandomMosaic', prob=1.0, img_scale=(48, 48))
    cfg.train_dataloader.dataset = dict(
        type='MultiImageMixDataset',
        dataset=dict(inner, pipeline=inner.pipeline[:2]),
        pipeline=[mosaic, *inner.pipeline[2:]],
    )
    _, steps = semi.learn(cfg, pictures)
    assert steps.images[0].shape == (2, 3, 32, 32)
    assert 'need labels: RandomMosaic. Give' in runs.log_text(cfg)


def test_nothing_to_derive_from(cfg, pictures):
    cfg.train_dataloader.dataset.pipeline[0] = dict(type='ReadImage')
    match = r'loads images .*ReadImage.* a pipeline'
    runs.refuse(cfg, match, semi.pseudo(pictures))


@pytest.mark.parametrize('size', [1, 2])
def test_cutmix_needs_two_images(cfg, pictures, size):
    runs.train(cfg, semi.pseudo(semi.unlabeled(pictures, batch_size=size)))
    said = 'cutmix=0.5 does nothing in a batch of one image'
    assert (said in runs.log_text(cfg)) == (size == 1)


WHITE, BLACK = (255 - 128) / 64, (0 - 128) / 64
CROP = dict(type='RandomCrop', crop_size=(32, 32))
ROTATE = dict(type='RandomRotate', prob=1.0, degree=(30, 30), seg_pad_val=0)
CUT_OUT = dict(type='RandomCutOut', prob=1.0, n_holes=3, cutout_shape=(10, 10))


@pytest.mark.parametrize('own', [True, False])
@pytest.mark.parametrize(
    'filling',
    [
        [ROTATE],
        [CUT_OUT],
        [dict(type='RandomApply', prob=1.0, transforms=[CUT_OUT, ROTATE])],
        [dict(type='RandomChoice', transforms=[[ROTATE], [CUT_OUT, ROTATE]])],
    ],
)
def test_what_transforms_fill_in_is_not_learned(cfg, pictures, filling, own):
    """Images are white, so that all that is black was filled in."""
    for path in pictures.glob('*.png'):
        Image.new('RGB', (48, 48), 'white').save(path)
    rest = copy.deepcopy([*filling, CROP, runs.PACK])
    loader = semi.unlabeled(pictures, *([runs.LOAD[0], *rest] if own else []))
    if not own:
        cfg.train_dataloader.dataset.pipeline = [*runs.LOAD, *rest]
    record, steps = semi.learn(cfg, loader, threshold=0.0, **semi.PLAIN)
    images = torch.cat([lesson.student.inputs for lesson in steps.found])
    weights = torch.cat([x.targets['decode'].weight for x in steps.found])
    black = (images < BLACK + 1e-3).all(1)
    white = (images > WHITE - 1e-3).all(1)
    assert black.sum() > 50
    assert not weights[black].any()
    assert weights[white].all()
    assert all(log['pseudo_confident'] == 1 for log in record.logs)


def assert_measured(cfg, record, steps, classes=3, known=(0, 1)):
    """The logged mIoU is that of the student before the first step."""
    images = steps.images[0][list(known)]
    logits = runs.answer(runs.started(cfg, record), images)
    label = (logits > 0)[:, 0].long() if classes == 2 else logits.argmax(1)
    samples = [steps.samples[0][i] for i in known]
    truth = torch.cat([sample.gt_sem_seg.data for sample in samples])
    expected = runs.miou(label, truth, classes)
    assert record.logs[0]['pseudo_mIoU'] == pytest.approx(expected, rel=LOGGED)
    return truth


def test_labels_that_heads_ignore_are_not_measured(cfg, tmp_path):
    """The head's ignore_index is not 255."""
    runs.set_heads(cfg.model, ignore_index=100)
    cfg.model.data_preprocessor.seg_pad_val = 100
    noise, left = tmp_path / 'noise', runs.COLUMN < 10
    runs.change_masks(noise, lambda mask: np.where(left, 100, mask))
    record, steps = semi.learn(cfg, semi.labelled(cfg))
    assert (assert_measured(cfg, record, steps) == 100).any()


@pytest.mark.filterwarnings('ignore:.*binary:UserWarning')
@pytest.mark.filterwarnings('ignore:threshold is not defined:UserWarning')
def test_one_class_in_one_channel(cfg, tmp_path):
    loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
    runs.set_heads(cfg.model, num_classes=1, out_channels=1, loss_decode=loss)
    cfg.train_dataloader.dataset.metainfo.classes = ('road',)
    runs.change_masks(tmp_path / 'noise', lambda mask: mask % 2)
    record, steps = semi.learn(cfg, semi.labelled(cfg))
    assert_measured(cfg, record, steps, classes=2)


@pytest.mark.parametrize('missing', ['', '024', '13579', '0123456789'])
def test_images_of_which_some_have_masks(cfg, tmp_path, missing):
    """Those with a mask are measured, whichever they are."""
    loader = semi.labelled(cfg, batch_size=5)
    loader['dataset']['data_root'] = str(tmp_path / 'some')
    shutil.copytree(tmp_path / 'noise', tmp_path / 'some')
    for number in missing:
        (tmp_path / f'some/masks/{number}.png').unlink()
    record, steps = semi.learn(cfg, loader)
    names = [Path(sample.img_path).stem for sample in steps.samples[0]]
    known = [i for i, name in enumerate(names) if name not in missing]
    if known:
        assert_measured(cfg, record, steps, known=known)
    else:
        assert 'pseudo_mIoU' not in record.logs[0]


def test_marks_of_an_image():
    mark = MarkPixels()
    results = mark.transform(dict(img=np.zeros((2, 3, 3))))
    assert (results['gt_seg_map'] == UNKNOWN).all()
    assert results['gt_seg_map'].shape == (2, 3)
    assert results['seg_fields'] == ['gt_seg_map']
    label = np.array([[0, FILLER, 2]], np.uint8)
    results = dict(gt_seg_map=label, seg_fields=['gt_seg_map'])
    marked = mark.transform(results)['gt_seg_map']
    assert marked.tolist() == [[0, UNKNOWN, 2]]
    assert marked.dtype == np.uint8


def test_map_that_a_transform_of_the_user_leaves_behind(cfg, pictures):
    """Then only padding is known, as it is to the preprocessor."""
    cut = dict(type='TopLeft')
    loader = semi.unlabeled(pictures, runs.LOAD[0], cut, runs.PACK)
    record, steps = semi.learn(cfg, loader, threshold=0.0, **semi.PLAIN)
    assert steps.images[0].shape == (2, 3, 32, 32)
    assert record.logs[0]['pseudo_confident'] == 1


BGR = dict(mean=[120.0, 110.0, 100.0], std=[60.0, 50.0, 40.0])
RGB = dict(mean=[100.0, 110.0, 120.0], std=[40.0, 50.0, 60.0])
ALL = torch.ones(4, 16, 16, dtype=torch.bool)
GREY = [dict(type='RandomGrayscale', p=1.0)]


def statistics(options):
    return (torch.tensor(options[k]).view(3, 1, 1) for k in ('mean', 'std'))


def normalised(image, options, to_rgb=False):
    """Of an image (N, 3, H, W) from 0 to 255, BGR."""
    mean, std = statistics(options)
    return ((image.flip(1) if to_rgb else image) - mean) / std


def colours(inputs, options):
    mean, std = statistics(options)
    return inputs * std + mean


@pytest.fixture
def images():
    return torch.randint(256, (4, 3, 16, 16)).float()


def distorted(seed, images, valid=ALL, entries='unimatch', **options):
    preprocessor = SegDataPreProcessor(size=(16, 16), **options)
    distort = PhotometricDistortion(entries, preprocessor)
    torch.manual_seed(seed)
    return distort(images, valid)


def test_seed_tells_the_distortion(images):
    inputs = normalised(images, BGR)
    one, same, other = (distorted(s, inputs, **BGR) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one, inputs)


def test_padding_stays(images):
    inputs = normalised(images, BGR)
    valid = ALL.clone()
    valid[:, 12:] = valid[:, :, 10:] = False
    inputs = inputs * valid.unsqueeze(1)
    found = distorted(3, inputs, valid, **BGR)
    outside = ~valid.unsqueeze(1).expand_as(inputs)
    assert not found[outside].any()
    assert not torch.equal(found, inputs)


def test_order_of_channels_makes_no_difference(images):
    """The same picture is distorted in the same way."""
    bgr = distorted(5, normalised(images, BGR), **BGR)
    rgb = distorted(5, normalised(images, RGB, True), **RGB, bgr_to_rgb=True)
    one, two = colours(bgr, BGR), colours(rgb, RGB).flip(1)
    # in units of 255: far from the images, and near each other
    assert not torch.allclose(one, images, atol=5)
    # rounded by two standardisations, and by Kornia's hue
    torch.testing.assert_close(one, two, rtol=0, atol=0.01)


@pytest.mark.parametrize('options', [BGR, {}])
def test_grey_has_the_weights_of_red_green_and_blue(images, options):
    """Rec. 601: an exchange of red and blue would be seen."""
    blue, green, red = images.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = luma[:, None].expand(-1, 3, -1, -1)
    if options:
        images, expected = (normalised(x, BGR) for x in (images, expected))
    found = distorted(0, images, entries=GREY, **options)
    torch.testing.assert_close(found, expected, **TENSORS_TWO_WAYS)


def test_each_image_has_numbers_of_its_own():
    images = normalised(torch.full((16, 3, 16, 16), 90.0), BGR)
    found = distorted(0, images, ALL.repeat(4, 1, 1), **BGR)
    assert len({round(float(v), 4) for v in found.mean((1, 2, 3))}) > 8


def test_colours_stay_in_range(images):
    found = colours(distorted(0, normalised(images, BGR), **BGR), BGR)
    assert found.min() > -0.01
    assert found.max() < 255.01


def test_mixing_moves_all_that_belongs_to_a_pixel():
    """Image, mask, confidence, label and logits come from one place."""
    place = torch.arange(2 * 6 * 6).view(2, 6, 6)
    views = Views(
        images=place[:, None].expand(-1, 3, -1, -1).float(),
        valid=place % 5 > 0,
        confident=place % 7 > 0,
        label=place,
        logits=place[:, None].expand(-1, 4, -1, -1).float(),
    )
    boxes = torch.zeros(2, 6, 6, dtype=torch.bool)
    boxes[0, 1:4, 2:5] = True
    mixed = views.mixed(boxes, source=None)
    assert (mixed.label[0, 1:4, 2:5] == place[1, 1:4, 2:5]).all()
    assert torch.equal(mixed.label[1], place[1])
    for c in range(3):
        assert torch.equal(mixed.images[:, c], mixed.label.float())
    assert torch.equal(mixed.logits[:, 3], mixed.label.float())
    assert torch.equal(mixed.valid, mixed.label % 5 > 0)
    assert torch.equal(mixed.confident, mixed.label % 7 > 0)
    assert views._replace(logits=None).mixed(boxes, None).logits is None
