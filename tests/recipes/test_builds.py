"""Every recipe builds, and has the weights of mmseg's model of its name."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS

from tests.zoo import catalog as stock
from tests.zoo import trial

from . import catalog, data, small

# mmseg's own config of the same model and data set
STOCK = {
    **{
        f'{head}_{net}-d8': f'{head}/{head}_{net}-d8_4xb2-80k_C'
        for head in ('deeplabv3', 'deeplabv3plus', 'pspnet')
        for net in ('r18', 'r50', 'r101')
    },
    'deeplabv3_mobilenet-v2-d8': 'mobilenet_v2/'
    'mobilenet-v2-d8_deeplabv3_4xb2-80k_C',
    'unet-s5-d16_fcn': 'unet/unet-s5-d16_fcn_4xb4-160k_C',
    'upernet_r101': 'upernet/upernet_r101_4xb2-80k_C',
    'upernet_convnext-base': 'convnext/convnext-base_upernet_8xb2-amp-160k_A',
    'upernet_swin-tiny': 'swin/'
    'swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_A',
    **{
        f'segformer_mit-b{i}': f'segformer/segformer_mit-b{i}_8xb2-160k_A'
        for i in range(6)
    },
    'segmenter_vit-s_mask': 'segmenter/segmenter_vit-s_mask_8xb1-160k_A',
    'segmenter_vit-b_mask': 'segmenter/segmenter_vit-b_mask_8xb1-160k_A',
    **{
        f'segnext_mscan-{x}': f'segnext/segnext_mscan-{x}_1xb16-adamw-160k_A'
        for x in 'tsb'
    },
    'ddrnet_23-slim': 'ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_'
    'cityscapes-1024x1024',
    'ddrnet_23': 'ddrnet/ddrnet_23_in1k-pre_2xb6-120k_cityscapes-1024x1024',
    'pidnet-s': 'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes',
}
SHORT = dict(C='cityscapes-512x1024', A='ade20k-512x512')


def stock_name(model: str) -> str:
    name = STOCK[model]
    return name[:-1] + SHORT.get(name[-1], name[-1]) + '.py'


def weights(model):
    """Returns the names and shapes of what a checkpoint holds."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        state = MODELS.build(model).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


def build_sets(cfg, *splits):
    with DefaultScope.overwrite_default_scope('mmseg'):
        entries = [cfg[f'{split}_dataloader'].dataset for split in splits]
        return list(map(DATASETS.build, entries))


@pytest.mark.parametrize('path', catalog.RECIPES, ids=catalog.name)
def test_builds(path, data_root, undrawn):
    cfg = small.read(path, data_root)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    for dataset in build_sets(cfg, 'train', 'val', 'test'):
        assert len(dataset) > 0
        classes = len(dataset.metainfo['classes'])
        assert model.decode_head.num_classes == classes
        if model.with_auxiliary_head:
            assert model.auxiliary_head.num_classes == classes


@pytest.mark.parametrize('model', STOCK)
def test_weights_are_those_of_mmsegs_model(model, request, undrawn):
    name = stock_name(model)
    dataset = SHORT['A' if 'ade20k' in name else 'C']
    described = model, dataset
    (path, *_) = (
        path
        for path in catalog.RECIPES
        if (catalog.model(path), catalog.dataset(path)) == described
    )
    if catalog.needs_mmpretrain(path):
        request.getfixturevalue('torchvision')
    ours, theirs = Config.fromfile(path), stock.read(name)
    for cfg in (ours, theirs):
        trial.shrink(cfg, 64)
    assert weights(ours.model) == weights(theirs.model)


def test_every_model_is_compared_or_has_no_counterpart():
    nets = 'efficientnet-b0', 'mobilevit-s'
    without = {f'deeplabv3plus_{net}-d32' for net in nets}
    models = {
        catalog.model(path)
        for path in catalog.RECIPES
        if path.parent.name not in ('jml_dinov2', 'jml_kd')
    }
    assert models == {*STOCK, *without}


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
    train, validation = build_sets(cfg, 'train', 'val')
    classes, folder, lengths = SETS[name.rpartition('-')[0]]
    assert (len(train), len(validation)) == lengths
    assert len(train.metainfo['palette']) == classes
    expected = data.label(data.SIZES[folder], range(classes))
    label = validation[0]['data_samples'].gt_sem_seg.data
    assert torch.equal(label[0].long(), torch.from_numpy(expected).long())
    for sample in train:
        found = sample['data_samples'].gt_sem_seg.data.unique()
        assert len(found) > 1
        assert all(value < classes or value == 255 for value in found)
