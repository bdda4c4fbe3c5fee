"""Recipes take an optimisation step on small data sets of their kind.

By default ``SAMPLE``, which has every family of models and every data set;
with the environment variable ``RECIPES=all`` every recipe. ``TRAINED`` run
through ``tools/train.py``: every small architecture, every data set, both
optimizers.
"""

import json
import os
import shutil

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import DATASETS, MODELS

from tests.tolerances import LOGGED
from tests.tools import run
from tests.zoo.trial import before_steps

from . import catalog, small

SAMPLE = (
    'jml/deeplabv3_r18-d8_4xb2-jml-40k_voc12aug-512x512',
    'jml/deeplabv3_mobilenet-v2-d8_4xb2-jml-80k_cityscapes-512x1024',
    'jml/deeplabv3plus_r18-d8_4xb2-jml-40k_deepglobe-land-512x512',
    'jml/deeplabv3plus_efficientnet-b0-d32_4xb2-jml-160k_ade20k-512x512',
    'jml/deeplabv3plus_mobilevit-s-d32_4xb2-jml-80k_cityscapes-512x1024',
    'jml/pspnet_r50-d8_4xb2-jml-sgd-160k_ade20k-512x512',
    'jml/unet-s5-d16_fcn_4xb2-jml-40k_deepglobe-land-512x512',
    'jml/upernet_convnext-base_4xb2-jml-40k_voc12aug-512x512',
    'jml/upernet_swin-tiny_4xb2-jml-160k_ade20k-512x512',
    'jml/segformer_mit-b0_4xb2-jml-80k_cityscapes-512x1024',
    'jml/segmenter_vit-s_mask_4xb2-jml-160k_ade20k-512x512',
    'jml/segnext_mscan-t_4xb2-jml-40k_voc12aug-512x512',
    'jml/ddrnet_23-slim_4xb2-jml-sgd-80k_cityscapes-512x1024',
    'jml/pidnet-s_4xb2-jml-sgd-80k_cityscapes-512x1024',
    'jml_dinov2/linear_dinov2-small_4xb2-jml-160k_ade20k-518x518',
    'jml_dinov2/linear_dinov2-base_4xb2-jml-80k_voc12aug-518x518',
    'jml_dinov2/upernet_dinov2-small_4xb2-jml-80k_cityscapes-798x798',
    'jml_dinov2/upernet_dinov2-base_4xb2-jml-160k_ade20k-518x518',
    'jml_dinov2/kd-jml_upernet-dinov2-base_segformer-mit-b0_4xb2-40k_'
    'voc12aug-518x518',
    'jml_smooth/upernet_r101_4xb2-jml-bls-80k_cityscapes-512x1024',
    'jml_smooth/segformer_mit-b0_4xb2-jml-bls-40k_deepglobe-land-512x512',
    'jml_kd/kd-jml_deeplabv3-r101-d8_pspnet-r18-d8_4xb2-40k_voc12aug-512x512',
)
IS_WHOLE = os.environ.get('RECIPES') == 'all'


def named(names):
    found = [x for x in catalog.RECIPES if catalog.name(x) in names]
    assert len(found) == len(names)
    return found


def test_sample_has_every_family_and_data_set():
    sample = named(SAMPLE)
    for key in (family, catalog.dataset, lambda path: path.parent):
        assert {*map(key, sample)} == {*map(key, catalog.RECIPES)}


def family(path):
    """Returns the name of the decoder: what the models are filed under."""
    return path.stem.replace('kd-jml_', '').partition('_')[0]


@pytest.mark.parametrize(
    'path', catalog.RECIPES if IS_WHOLE else named(SAMPLE), ids=catalog.name
)
def test_optimisation_step(path, data_root):
    cfg = small.read(path, data_root)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model).train()
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    check_groups(model, optimizer.optimizer, catalog.model(path))
    samples = pseudo_collate([dataset[0], dataset[len(dataset) - 1]])
    inputs = model.data_preprocessor(samples, training=True)['inputs']
    assert inputs.shape == (2, 3, *cfg.crop_size)
    seen = {}
    before_steps(optimizer.optimizer, lambda: seen.update(gradients(model)))
    before = {k: v.clone() for k, v in model.named_parameters()}
    log = model.train_step(samples, optimizer)
    check_log(log, cfg)
    missing = [name for name, gradient in seen.items() if gradient is None]
    assert missing == []  # else DistributedDataParallel would stop
    assert all(gradient.isfinite().all() for gradient in seen.values())
    moved = [k for k, v in model.named_parameters() if (v != before[k]).any()]
    assert len(moved) > 0.9 * len(before)


def check_groups(model, optimizer, described):
    """The authors' rates and decay with AdamW, mmseg's with SGD."""
    names = {id(p): name for name, p in model.named_parameters()}
    rate, new = (5e-6, 2e-4) if '_dinov2-' in described else (6e-5, 6e-4)
    for group in optimizer.param_groups:
        if isinstance(optimizer, torch.optim.SGD):
            assert (group['lr'], group['weight_decay']) == (0.01, 5e-4)
            continue
        (parameter,) = group['params']
        is_new = not names[id(parameter)].startswith('backbone.')
        assert group['lr'] == pytest.approx(new if is_new else rate)
        assert group['weight_decay'] == 0.01 * (parameter.ndim > 1)


def gradients(model) -> dict:
    return {
        name: p.grad if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def check_log(log, cfg):
    terms = {k: v.item() for k, v in log.items() if 'loss_' in k}
    assert log['loss'].item() == pytest.approx(sum(terms.values()), rel=LOGGED)
    assert torch.tensor(list(terms.values())).isfinite().all()
    if cfg.model.decode_head.type not in ('DDRHead', 'PIDHead'):
        expected = {'decode.loss_jml_ce'}
        if 'auxiliary_head' in cfg.model:
            expected.add('aux.loss_ce')
        assert set(terms) == expected


TRAINED = (
    'jml/pspnet_r18-d8_4xb2-jml-80k_cityscapes-512x1024',
    'jml/deeplabv3_mobilenet-v2-d8_4xb2-jml-40k_voc12aug-512x512',
    'jml/deeplabv3_r18-d8_4xb2-jml-40k_deepglobe-land-512x512',
    'jml/deeplabv3plus_efficientnet-b0-d32_4xb2-jml-160k_ade20k-512x512',
    'jml/deeplabv3plus_mobilevit-s-d32_4xb2-jml-80k_cityscapes-512x1024',
    'jml/unet-s5-d16_fcn_4xb2-jml-80k_cityscapes-512x1024',
    'jml/segformer_mit-b0_4xb2-jml-160k_ade20k-512x512',
    'jml/segmenter_vit-s_mask_4xb2-jml-80k_cityscapes-512x1024',
    'jml/segnext_mscan-t_4xb2-jml-40k_voc12aug-512x512',
    'jml/ddrnet_23-slim_4xb2-jml-sgd-80k_cityscapes-512x1024',
    'jml/pidnet-s_4xb2-jml-sgd-80k_cityscapes-512x1024',
    'jml_smooth/pspnet_r18-d8_4xb2-jml-bls-160k_ade20k-512x512',
)


@pytest.mark.parametrize('path', named(TRAINED), ids=catalog.name)
@pytest.mark.usefixtures('strict')
def test_trains_validates_and_saves(path, data_root, tmp_path):
    cfg = small.read(path, data_root)
    small.shorten(cfg, 3)
    cfg.dump(tmp_path / path.name)
    work_dir = tmp_path / 'run'
    run.tool('train.py', tmp_path / path.name, '--work-dir', work_dir)
    assert [step['step'] for step in run.losses(work_dir)] == [1, 2, 3]
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    lines = map(json.loads, log.read_text().splitlines())
    (validated,) = (line['mIoU'] for line in lines if 'mIoU' in line)
    assert 0 <= validated <= 100
    weights = CheckpointLoader.load_checkpoint(str(work_dir / 'iter_3.pth'))
    assert all(x.isfinite().all() for x in weights['state_dict'].values())
    assert weights['meta']['iter'] == 3
    shutil.rmtree(work_dir)  # checkpoints of many megabytes
