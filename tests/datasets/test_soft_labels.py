"""Soft labels go through a stock pipeline as the label does."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import TRANSFORMS
from PIL import Image

CLASSES = 7
LOAD, PACK = 'mmseg_jml.LoadSoftLabels', 'mmseg_jml.PackSoftLabels'
AUGMENT = [
    dict(type='RandomResize', scale=(48, 40), ratio_range=(0.5, 2.0)),
    dict(type='RandomCrop', crop_size=(32, 32), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
]
MARK = 'mmseg_jml.MarkPixels'
MASKS, MAP = {'/masks/': '/first/'}, {'/masks/': '/maps/', '.png': '.npy'}


@pytest.fixture
def folder(tmp_path):
    """An image, its mask, a copy of it by an annotator, and its one-hot."""
    numbers = np.random.default_rng(0)
    mask = numbers.integers(0, CLASSES, (40, 48), np.uint8)
    mask[::7] = 255
    other = numbers.integers(0, CLASSES, (40, 48), np.uint8)
    image = numbers.integers(0, 255, (40, 48, 3), np.uint8)
    pictures = dict(images=image, masks=mask, first=mask, second=other)
    for name, pixels in pictures.items():
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / '0.png')
    onehot = (mask == np.arange(CLASSES)[:, None, None]).astype(np.float16)
    (tmp_path / 'maps').mkdir()
    np.save(tmp_path / 'maps/0.npy', onehot)
    return tmp_path


def run(folder, sources, *augment, load=(), **info):
    results = dict(
        img_path=str(folder / 'images/0.png'),
        seg_map_path=str(folder / 'masks/0.png'),
        seg_fields=[],
        reduce_zero_label=False,
        label_map=None,
    )
    results.update(info)
    image = dict(type='LoadImageFromFile')
    label = dict(load, type='LoadAnnotations')
    soft = dict(load, type=LOAD, sources=sources)
    with DefaultScope.overwrite_default_scope('mmseg'):
        for entry in (image, label, soft, *augment, dict(type=PACK)):
            results = TRANSFORMS.build(entry)(results)
    sample = results['data_samples']
    return sample.gt_sem_seg.data[0], sample.soft_label.data


@pytest.mark.parametrize('seed', range(3))
def test_masks_of_annotators_stay_on_the_label(folder, seed):
    np.random.seed(seed)
    label, masks = run(folder, [MASKS, {'/masks/': '/second/'}], *AUGMENT)
    assert masks.shape == (2, *label.shape)
    assert not masks.is_floating_point()
    assert torch.equal(masks[0].long(), label)
    assert not torch.equal(masks[1].long(), label)


@pytest.mark.parametrize('seed', range(3))
def test_map_of_probabilities_stays_on_the_label(folder, seed):
    np.random.seed(seed)
    label, value = run(folder, MAP, *AUGMENT)
    assert value.shape == (CLASSES, *label.shape)
    assert value.dtype == torch.float32
    counted = label != 255
    assert 0 < counted.sum() < counted.numel()
    assert torch.equal(value.argmax(0)[counted], label[counted])
    assert torch.equal(value.sum(0), counted.float())


def test_filled_pixels_have_no_label(folder):
    """A rotation by a map of three classes, which OpenCV can rotate."""
    value = np.full((3, 40, 48), 1 / 3, np.float32)
    np.save(folder / 'maps/0.npy', value)
    rotate = dict(type='RandomRotate', prob=1.0, degree=(45, 45))
    label, value = run(folder, MAP, rotate)
    outside = value.sum(0) == 0
    assert outside[-1, -1]
    assert (label[outside] == 255).all()
    inside = value[:, ~outside]
    torch.testing.assert_close(inside, torch.full_like(inside, 1 / 3))


def test_masks_are_read_as_the_label_is(folder):
    options = dict(reduce_zero_label=True)
    label, masks = run(folder, MASKS, load=options, **options)
    assert torch.equal(masks[0].long(), label)
    label, masks = run(folder, MASKS, label_map={1: 0})
    assert not (label == 1).any()
    assert torch.equal(masks[0].long(), label)


@pytest.mark.parametrize(
    ('value', 'match'),
    [
        (np.zeros((40, 48), np.float32), r'\(C, H, W\) but got float32'),
        (np.zeros((3, 40, 48), np.uint8), r'\(C, H, W\) but got uint8'),
        (np.full((3, 40, 48), 0.5), 'sum to 1 .* sums up to 1.5'),
        (np.full((3, 40, 48), np.nan), 'sum to 1'),
        (np.stack([np.full((40, 48), v) for v in (-1.0, 2.0)]), 'from -1.0'),
    ],
)
def test_files_without_probabilities(folder, value, match):
    np.save(folder / 'maps/0.npy', value)
    with pytest.raises(ValueError, match=match):
        run(folder, MAP)


@pytest.mark.parametrize(
    ('sources', 'match'),
    [
        ([], 'at least one source'),
        ({'/labels/': 'x'}, "'/labels/' in the path of the label"),
        ([MAP, MASKS], 'several masks or one map'),
    ],
)
def test_sources(folder, sources, match):
    with pytest.raises(ValueError, match=match):
        run(folder, sources)


@pytest.mark.parametrize(
    ('entry', 'match'),
    [
        (dict(type=LOAD, sources='x'), "sources to be a dict.* but got 'x'"),
        (dict(type=LOAD, sources=-1), 'sources .* got -1'),
        (dict(type=LOAD, sources=['x']), r"sources .* got \['x'\]"),
        (dict(type=MARK, annotations='x'), "annotations .* but got 'x'"),
    ],
)
def test_options_of_a_wrong_type(entry, match):
    with pytest.raises(TypeError, match=match):
        TRANSFORMS.build(entry)


def test_packing_without_loading():
    refused = pytest.raises(ValueError, match='LoadSoftLabels in the pipeline')
    with DefaultScope.overwrite_default_scope('mmseg'), refused:
        TRANSFORMS.build(dict(type=PACK))({})
