"""DeepGlobe Land as a dataset, in the layout that the converter leaves."""

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

LABELS = {'7': 0, '100694': 5, '119': 255}


@pytest.fixture
def root(tmp_path):
    for folder in ('land-train', 'annotations', 'splits'):
        (tmp_path / folder).mkdir()
    for name, label in LABELS.items():
        Image.new('RGB', (6, 4)).save(tmp_path / f'land-train/{name}_sat.jpg')
        mask = Image.new('L', (6, 4), label)
        mask.save(tmp_path / f'annotations/{name}.png')
    (tmp_path / 'splits/fold0_val.txt').write_text('119\n7\n')
    return tmp_path


@pytest.mark.parametrize('prefix', ['', 'mmseg_jml.'])
@pytest.mark.parametrize(
    ('ann_file', 'names'),
    [('', ['100694', '119', '7']), ('splits/fold0_val.txt', ['119', '7'])],
)
def test_images_and_labels_of_a_split(root, prefix, ann_file, names):
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    folders = dict(img_path='land-train', seg_map_path='annotations')
    entry = dict(type=f'{prefix}DeepGlobeLandDataset', data_root=str(root))
    entry.update(ann_file=ann_file, data_prefix=folders, pipeline=pipeline)
    dataset = DATASETS.build(entry)
    loaded = [dataset[i] for i in range(len(dataset))]
    assert len(loaded) == len(names)
    for item, name in zip(loaded, names):
        assert np.unique(item['gt_seg_map']).tolist() == [LABELS[name]]
    assert loaded[0]['img'].shape == (4, 6, 3)
    assert len(dataset.metainfo['palette']) == 6
