"""The labels that recipes train on are those in the files."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

from . import catalog, data, small

# Classes, folder, and images for training and validation. DeepGlobe trains on
# four of five folds.
SETS = {
    'cityscapes': (19, 'cityscapes', (2, 2)),
    'voc12aug': (21, 'VOCdevkit/VOC2012', (4, 2)),
    'ade20k': (150, 'ade/ADEChallengeData2016', (2, 2)),
    'deepglobe-land': (6, 'deepglobe_land', (4, 1)),
}


@pytest.mark.parametrize('name', catalog.DATASETS)
def test_labels(name, data_root):
    """Class n has index n from 0; what is no class is 255."""
    path = next(x for x in catalog.RECIPES if catalog.dataset(x) == name)
    cfg = small.read(path, data_root)
    with DefaultScope.overwrite_default_scope('mmseg'):
        train, validation = (
            DATASETS.build(cfg[f'{split}_dataloader'].dataset)
            for split in ('train', 'val')
        )
    classes, folder, lengths = SETS[name.rpartition('-')[0]]
    assert (len(train), len(validation)) == lengths
    expected = data.label(data.SIZES[folder], list(range(classes)), 255)
    label = validation[0]['data_samples'].gt_sem_seg.data
    assert torch.equal(label[0].long(), torch.from_numpy(expected).long())
    for sample in train:
        found = sample['data_samples'].gt_sem_seg.data.unique()
        assert len(found) > 1
        assert all(value < classes or value == 255 for value in found)
