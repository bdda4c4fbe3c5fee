"""The labels that recipes train on are those in the files."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

from . import catalog, data, small

# the classes of each data set, and its size here
CLASSES = {
    'cityscapes-512x1024': (19, 'cityscapes'),
    'voc12aug-512x512': (21, 'VOCdevkit/VOC2012'),
    'ade20k-512x512': (150, 'ade/ADEChallengeData2016'),
    'deepglobe-land-512x512': (6, 'deepglobe_land'),
}
# DeepGlobe: four of five images, and the fifth
LENGTHS = {
    'cityscapes-512x1024': (2, 2),
    'voc12aug-512x512': (4, 2),
    'ade20k-512x512': (2, 2),
    'deepglobe-land-512x512': (4, 1),
}


@pytest.fixture
def sets(name, data_root):
    path = next(x for x in catalog.RECIPES if catalog.dataset(x) == name)
    cfg = small.read(path, data_root)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return [
            DATASETS.build(cfg[f'{split}_dataloader'].dataset)
            for split in ('train', 'val')
        ]


@pytest.mark.parametrize('name', catalog.DATASETS)
def test_finds_all_images(name, sets):
    assert tuple(map(len, sets)) == LENGTHS[name]


@pytest.mark.parametrize('name', catalog.DATASETS)
def test_validates_on_the_labels_of_the_file(name, sets):
    """Class n has index n from 0; what is no class is 255."""
    classes, folder = CLASSES[name]
    expected = data.label(data.SIZES[folder], list(range(classes)), 255)
    label = sets[1][0]['data_samples'].gt_sem_seg.data
    assert torch.equal(label[0].long(), torch.from_numpy(expected).long())


@pytest.mark.parametrize('name', catalog.DATASETS)
def test_trains_on_the_classes_alone(name, sets):
    classes, _ = CLASSES[name]
    for sample in sets[0]:
        found = sample['data_samples'].gt_sem_seg.data.unique()
        assert len(found) > 1
        assert all(value < classes or value == 255 for value in found)
