"""DINOv2's weights load as mmpretrain publishes them, at any crop."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from tests.zoo import trial

from . import catalog, small


def original(width):
    """Names and shapes in ``dinov2_vit{s,b}14_pretrain.pth``"""
    weights = {
        'attn.qkv': (3 * width, width),
        'attn.proj': (width, width),
        'mlp.fc1': (4 * width, width),
        'mlp.fc2': (width, 4 * width),
        **dict.fromkeys(('norm1', 'norm2'), (width,)),
    }
    block = {'ls1.gamma': (width,), 'ls2.gamma': (width,)}
    for name, shape in weights.items():
        block[f'{name}.weight'], block[f'{name}.bias'] = shape, shape[:1]
    return {
        'cls_token': (1, 1, width),
        'pos_embed': (1, 1 + 37 * 37, width),
        'mask_token': (1, width),
        'patch_embed.proj.weight': (width, 3, 14, 14),
        'patch_embed.proj.bias': (width,),
        **{f'blocks.{i}.{x}': block[x] for i in range(12) for x in block},
        'norm.weight': (width,),
        'norm.bias': (width,),
    }


# What mmpretrain calls them; the mask token is for training DINOv2 alone.
RENAMED = (
    ('patch_embed.proj', 'patch_embed.projection'),
    ('blocks.', 'layers.'),
    ('mlp.fc1', 'ffn.layers.0.0'),
    ('mlp.fc2', 'ffn.layers.1'),
    ('ls1.gamma', 'attn.gamma1.weight'),
    ('ls2.gamma', 'ffn.gamma2.weight'),
    ('norm1', 'ln1'),
    ('norm2', 'ln2'),
)


def published(width):
    """Random weights under the names of the file that mmpretrain offers."""
    found = {}
    for name, shape in original(width).items():
        for old, new in RENAMED:
            name = name.replace(old, new)
        name = f'ln1{name[4:]}' if name.startswith('norm.') else name
        if name != 'mask_token':
            found[f'backbone.{name}'] = 0.02 * torch.randn(shape)
    return found


def load(name, weights, folder, **options):
    """Returns the backbone of a model file with weights from a file."""
    torch.save(dict(state_dict=weights, meta={}), folder / 'w.pth')
    cfg = catalog.config(catalog.CONFIGS / '_base_/models' / f'{name}.py')
    backbone = dict(cfg.model.backbone.to_dict(), **options)
    assert backbone['init_cfg']['checkpoint'].startswith('https://')
    backbone['init_cfg']['checkpoint'] = str(folder / 'w.pth')
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(backbone)
    model.init_weights()
    model.eval()
    return model


@pytest.mark.parametrize(
    ('name', 'width'),
    [('linear_dinov2-small', 384), ('upernet_dinov2-base', 768)],
)
@pytest.mark.usefixtures('torchvision', 'strict', 'undrawn')
def test_every_weight_is_the_published_one(name, width, tmp_path):
    weights = published(width)
    model = load(name, weights, tmp_path)
    state = {f'backbone.{k}': v for k, v in model.state_dict().items()}
    assert state.keys() == weights.keys()
    for name, value in weights.items():
        assert torch.equal(state[name], value), name


@pytest.mark.usefixtures('torchvision', 'undrawn')
def test_positions_are_resized(tmp_path):
    """From 37 x 37 to what is asked for, or to what an image has."""
    weights = published(384)
    grid = weights['backbone.pos_embed'][0, 1:].T.reshape(1, 384, 37, 37)
    small = F.interpolate(grid, (4, 6), mode='bicubic')[0].flatten(1).T
    name = 'linear_dinov2-small'
    resized = load(name, weights, tmp_path, img_size=(56, 84))
    first = weights['backbone.pos_embed'][:, 0]
    assert torch.equal(resized.pos_embed[:, 0], first)
    torch.testing.assert_close(resized.pos_embed[0, 1:], small)
    image = torch.randn(1, 3, 56, 84)
    (as_published,) = load(name, weights, tmp_path)(image)
    assert as_published.shape == (1, 384, 4, 6)
    torch.testing.assert_close(resized(image)[0], as_published)


@pytest.mark.usefixtures('torchvision')
def test_frozen_backbone_leaves_the_head_to_train(data_root):
    paths = [x for x in catalog.RECIPES if 'linear_dinov2-small' in x.stem]
    cfg = small.read(paths[0], data_root)
    cfg.model.backbone.frozen_stages = 12
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model).train()
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {k: v.clone() for k, v in model.named_parameters()}
    model.train_step(trial.batch(cfg, 70), optimizer)
    moved = [k for k, v in model.named_parameters() if (v != before[k]).any()]
    layer = 'decode_head.conv_seg'
    assert moved == [f'{layer}.weight', f'{layer}.bias']
