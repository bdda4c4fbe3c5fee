"""Every recipe builds, and has the weights of mmseg's model of its name."""

from __future__ import annotations

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS

from tests.zoo import catalog as stock
from tests.zoo import trial

from . import catalog, small

pytestmark = pytest.mark.filterwarnings('ignore')

# mmseg's own config of the same model and data set
STOCK = {
    'deeplabv3_r18-d8': 'deeplabv3/deeplabv3_r18-d8_4xb2-80k_C',
    'deeplabv3_r50-d8': 'deeplabv3/deeplabv3_r50-d8_4xb2-80k_C',
    'deeplabv3_r101-d8': 'deeplabv3/deeplabv3_r101-d8_4xb2-80k_C',
    'deeplabv3_mobilenet-v2-d8': 'mobilenet_v2/'
    'mobilenet-v2-d8_deeplabv3_4xb2-80k_C',
    'deeplabv3plus_r18-d8': 'deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_C',
    'deeplabv3plus_r50-d8': 'deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_C',
    'deeplabv3plus_r101-d8': 'deeplabv3plus/deeplabv3plus_r101-d8_4xb2-80k_C',
    'pspnet_r18-d8': 'pspnet/pspnet_r18-d8_4xb2-80k_C',
    'pspnet_r50-d8': 'pspnet/pspnet_r50-d8_4xb2-80k_C',
    'pspnet_r101-d8': 'pspnet/pspnet_r101-d8_4xb2-80k_C',
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
        f'segnext_mscan-{size}': 'segnext/'
        f'segnext_mscan-{size}_1xb16-adamw-160k_A'
        for size in 'tsb'
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


def weights(model: dict) -> dict[str, tuple]:
    """Returns the names and shapes of what a checkpoint holds."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        state = MODELS.build(model).state_dict()
    return {key: tuple(value.shape) for key, value in state.items()}


@pytest.mark.parametrize('path', catalog.RECIPES, ids=catalog.name)
def test_builds(path, data_root, undrawn):
    cfg = small.read(path, data_root)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
        sets = [
            DATASETS.build(cfg[f'{split}_dataloader'].dataset)
            for split in ('train', 'val', 'test')
        ]
    for dataset in sets:
        assert len(dataset) > 0
        classes = len(dataset.metainfo['classes'])
        assert model.decode_head.num_classes == classes
        if model.with_auxiliary_head:
            assert model.auxiliary_head.num_classes == classes


@pytest.mark.parametrize('model', STOCK)
def test_weights_are_those_of_mmsegs_model(model, request, undrawn):
    name = stock_name(model)
    dataset = SHORT['A' if 'ade20k' in name else 'C']
    path = next(
        path
        for path in catalog.RECIPES
        if (catalog.model(path), catalog.dataset(path)) == (model, dataset)
    )
    if catalog.needs_mmpretrain(path):
        request.getfixturevalue('torchvision')
    ours = Config.fromfile(path)
    theirs = stock.read(name)
    for cfg in (ours, theirs):
        trial.shrink(cfg, 64)
    assert weights(ours.model) == weights(theirs.model)


def test_every_model_is_compared_or_has_no_counterpart():
    without = {
        'deeplabv3plus_efficientnet-b0-d32',
        'deeplabv3plus_mobilevit-s-d32',
    }
    models = {
        catalog.model(path)
        for path in catalog.RECIPES
        if path.parent.name not in ('jml_dinov2', 'jml_kd')
    }
    assert models == {*STOCK, *without}
