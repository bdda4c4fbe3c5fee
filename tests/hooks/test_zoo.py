"""Heads of every stock family learn from a teacher and from unlabelled images.

By default the families whose heads differ most; with the environment variable
``ZOO=all`` every family.
"""

from __future__ import annotations

import os
from functools import lru_cache

import pytest
import torch

from mmseg_jml.config import replace_pixel_loss
from tests.zoo import catalog, stacks, trial

from . import runs, semi

pytestmark = pytest.mark.usefixtures('device')

MAIN, AUX = 'decode.loss_kd_jml_ce', 'aux.loss_kd_ce'
# The terms of a convolutional student, whose teacher is a transformer without
# auxiliary head, or of a transformer, whose teacher is a PSPNet with one.
ONE_TERM = (
    'bisenetv2 danet ddrnet deeplabv3 deeplabv3plus encnet fastscnn fcn hrnet '
    'knet pidnet pspnet segformer segmenter stdc unet'
)
OUTPUTS = {
    **dict.fromkeys(ONE_TERM.split(), [MAIN]),
    'ocrnet': ['decode_1.loss_kd_jml_ce'],
    'point_rend': ['decode_0.loss_kd_jml_ce'],
    'setr': [MAIN, 'aux_0.loss_kd_ce'],
    'swin': [MAIN, AUX],
}
DEFAULT = ('danet', 'ddrnet', 'ocrnet', 'pidnet', 'point_rend', 'pspnet')
DEFAULT += ('segformer', 'stdc', 'swin', 'unet')
TRANSFORMERS = ('beit', 'dpt', 'mae', 'segformer', 'segmenter', 'setr')
TRANSFORMERS += ('swin', 'twins', 'vit')
TEACHERS = {
    False: 'segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py',
    True: 'pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py',
}


@lru_cache(maxsize=None)
def students() -> dict[str, str]:
    """One config of each family, the cheapest that this stack runs."""
    found = {}
    for pick in catalog.picks():
        if pick.config not in stacks.cannot_run():
            found.setdefault(catalog.family(pick.config), pick.config)
    if os.environ.get('ZOO') == 'all':
        return found
    return {name: found[name] for name in DEFAULT if name in found}


@pytest.fixture(autouse=True)
def _imports(request):
    """Lets mmpretrain's backbones be imported."""
    if request.node.callspec.params['family'] in ('convnext', 'poolformer'):
        request.getfixturevalue('torchvision')


def teacher_for(cfg, folder, is_transformer):
    teacher = catalog.read(TEACHERS[is_transformer])
    trial.shrink(teacher, 64)
    num_classes = num_classes_of(cfg)
    for head in ('decode_head', 'auxiliary_head'):
        if head in teacher.model:
            teacher.model[head].num_classes = num_classes
    return runs.write_teacher(folder, teacher.model, classes=None)


def num_classes_of(cfg):
    head = catalog.as_list(cfg.model.decode_head)[-1]
    return head.get('kernel_generate_head', head)['num_classes']


def images_for(cfg, side, folder) -> dict:
    """A whole loader, of images with the channels that a config wants."""
    semi.write_pictures(folder / 'pictures', (side, side), 2)
    load = dict(type='LoadImageFromFile')
    if len(cfg.model.data_preprocessor.get('mean') or 'RGB') == 1:
        load['color_type'] = 'grayscale'
    options = dict(changes=dict(metainfo=None), batch_size=2, num_workers=0)
    return semi.unlabeled(folder / 'pictures', load, runs.PACK, **options)


def distillation(family, cfg, side, folder) -> dict:
    teacher = teacher_for(cfg, folder, family in TRANSFORMERS)
    return runs.distil(teacher)


def pseudo_labels(family, cfg, side, folder) -> dict:
    loader = images_for(cfg, side, folder)
    return semi.pseudo(loader, threshold=0.0, loss_weight=1.0)


def learn(family, folder, hook_for, **options):
    """Takes a step in which all gradients come from the hook."""
    cfg = catalog.read(students()[family])
    if students()[family] in stacks.stock_loss_cannot_run():
        replace_pixel_loss(cfg, 'JaccardMetricLoss')
    side = trial.SIDES.get(family, 64)
    trial.shrink(cfg, side)
    hook = hook_for(family, cfg, side, folder)
    hook.update(label_weight=0.0, **options)
    return runs.step(cfg, side, hook, folder), side


@pytest.mark.parametrize(
    ('family', 'output', 'part'),
    [
        ('danet', 'decode.1', 'pam_conv_seg'),
        ('danet', 'decode.2', 'cam_conv_seg'),
        ('ddrnet', 'decode.1', 'aux_cls_seg'),
        ('pidnet', 'decode.0', 'p_cls_seg'),
    ],
)
def test_outputs_besides_the_main_one(family, output, part, tmp_path):
    """They have the names that docs/distillation.md lists."""
    outputs = {output: 'decode'}
    record, _ = learn(family, tmp_path, distillation, outputs=outputs)
    terms = [name for name in record.logs[0] if 'loss_kd' in name]
    assert terms == [f'{output}.loss_kd_jml_ce']
    moved = {name for name, g in record.gradients[0].items() if g.any()}
    classifiers = {
        name.split('.')[1] for name in moved if name.endswith('_seg.weight')
    }
    assert classifiers == {part}


@pytest.mark.parametrize('family', students())
@pytest.mark.parametrize('hook_for', [distillation, pseudo_labels])
def test_step(family, hook_for, tmp_path):
    """The gradients of the hook reach what predicts."""
    record, side = learn(family, tmp_path, hook_for)
    log, gradients = record.logs[0], record.gradients[0]
    terms = [n for n in log if 'loss_kd' in n or 'loss_pseudo' in n]
    if hook_for is distillation:
        assert terms == OUTPUTS.get(family, terms)
    else:
        assert log['pseudo_confident'] == 1
        main = OUTPUTS.get(family, ['decode'])[0].partition('.')[0]
        assert terms[0].startswith(f'{main}.')
        assert log['loss'] == pytest.approx(sum(log[name] for name in terms))
    assert terms
    assert all(log[name] > 0 for name in terms)
    assert all(g.isfinite().all() for g in gradients.values())
    moved = {name for name, g in gradients.items() if g.any()}
    if family != 'point_rend':  # whose point head refines what learned
        assert parts(moved) == parts(used_to_predict(record.model, side))


def parts(names):
    """The children of the main head that parameters belong to."""
    return {
        '.'.join(name.split('.')[:2])
        for name in names
        if name.startswith('decode_head')
    }


def used_to_predict(model, side):
    model.zero_grad()
    channels = len(model.data_preprocessor.mean)
    size = torch.Size((side, side))
    meta = dict(img_shape=size, pad_shape=size, ori_shape=size)
    inputs = torch.randn(1, channels, side, side)
    inputs = inputs.to(next(model.parameters()).device)
    logits = model.eval().encode_decode(inputs, [meta])
    (logits * torch.randn_like(logits)).sum().backward()
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }
