"""Recipes for unlabelled images, on splits that the tool has made."""

import os
import re
import shutil

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, HOOKS, MODELS

from tests.tools import run

from . import catalog, small

WHOLE = 'jml/pspnet_r18-d8_4xb2-jml-'
OF_CITY = {'1_16': ['aachen/aachen_000000_000019_leftImg8bit']}
OF_VOC = {'732': ['2007_000032'], '662': ['2007_000032', '2008_000002']}
OF_ADE = {'1_16': ['ADE_train_00000001']}
# Of each data set: its folder, a config of all its images, and the splits
# with the names of those that keep their labels.
SPLITS = {
    'cityscapes': ('cityscapes', '80k_cityscapes-512x1024', OF_CITY),
    'voc12aug': ('VOCdevkit/VOC2012', '40k_voc12aug-512x512', OF_VOC),
    'ade20k': ('ade/ADEChallengeData2016', '160k_ade20k-512x512', OF_ADE),
}
# Preset, model, data and split of those that train: each preset and data set;
# with the environment variable ``RECIPES=all`` each of each.
TRAINED = [
    ('mean-teacher_deeplabv3plus', 'voc12aug', '732'),
    ('jml-soft_deeplabv3plus', 'voc12aug', '662'),
    ('fixmatch_deeplabv3plus', 'cityscapes', '1_16'),
    ('unimatch_deeplabv3plus', 'ade20k', '1_16'),
    ('unimatch-v2_upernet_dinov2', 'voc12aug', '732'),
]
if os.environ.get('RECIPES') == 'all':
    TRAINED = [
        (preset, data, split)
        for preset, *_ in TRAINED
        for data, (_, _, splits) in SPLITS.items()
        for split in splits
    ]


def dataset(path):
    return catalog.dataset(path).partition('-')[0]


@pytest.fixture(scope='module')
def split_root(data_root, tmp_path_factory):
    """The data sets with lists that ``tools/split_dataset.py`` wrote."""
    root = tmp_path_factory.mktemp('splits') / 'data'
    shutil.copytree(data_root, root)
    published = root / 'published.txt'
    for folder, config, splits in SPLITS.values():
        cfg = small.read(catalog.CONFIGS / f'{WHOLE}{config}.py', root)
        cfg.dump(root / 'whole.py')
        for split, names in splits.items():
            published.write_text('\n'.join(names))
            out = '--out', root / folder / 'splits' / split
            words = root / 'whole.py', '--list', published, *out
            run.tool('split_dataset.py', *words)
    return root


def read(path, root, split, monkeypatch):
    monkeypatch.setenv('SPLIT', split)
    monkeypatch.setattr(catalog, 'config', Config.fromfile)
    return small.read(path, root)


@pytest.mark.parametrize('path', catalog.SEMI, ids=catalog.name)
def test_builds(path, split_root, undrawn, monkeypatch):
    """Labelled and unlabelled images are those of the lists."""
    _, _, splits = SPLITS[dataset(path)]
    for split, names in splits.items():
        cfg = read(path, split_root, split, monkeypatch)
        unlabeled = cfg.custom_hooks[0].unlabeled_dataloader.dataset
        with DefaultScope.overwrite_default_scope('mmseg'):
            MODELS.build(cfg.model)
            HOOKS.build(cfg.custom_hooks[0])
            labeled = DATASETS.build(cfg.train_dataloader.dataset)
            others = DATASETS.build(dict(unlabeled, pipeline=[]))
            assert len(DATASETS.build(cfg.val_dataloader.dataset)) > 0
        found = [names_of(part) for part in (labeled, others)]
        assert found[0] == [name.rpartition('/')[2] for name in names]
        assert found[1]
        assert not {*found[0]} & {*found[1]}


def names_of(dataset):
    paths = (dataset.get_data_info(i)['img_path'] for i in range(len(dataset)))
    return [re.sub(r'.*/|\.\w+$', '', path) for path in paths]


@pytest.mark.parametrize(('preset', 'data', 'split'), TRAINED)
@pytest.mark.usefixtures('strict')
def test_trains(preset, data, split, split_root, tmp_path, monkeypatch):
    (path,) = (
        path
        for path in catalog.SEMI
        if path.stem.startswith(f'semi-{preset}') and dataset(path) == data
    )
    cfg = read(path, split_root, split, monkeypatch)
    small.shorten(cfg, 2)
    if 'deeplab' in path.stem:  # weights that are drawn and saved sooner
        cfg.model.backbone.depth = 18
        cfg.model.decode_head.update(in_channels=512, c1_in_channels=64)
        cfg.model.auxiliary_head.in_channels = 256
    cfg.custom_hooks[0].threshold = 0.0  # nothing is sure yet
    cfg.dump(tmp_path / path.name)
    options = '--work-dir', tmp_path / 'run'
    run.tool('train.py', tmp_path / path.name, *options)
    steps = run.losses(tmp_path / 'run')
    terms = {'decode.loss_pseudo_jml_ce'}
    if 'auxiliary_head' in cfg.model:
        terms.add('aux.loss_pseudo_ce')
    assert len(steps) == 2
    for step in steps:
        assert terms <= set(step)
        assert step['pseudo_confident'] == 1
    shutil.rmtree(tmp_path / 'run')  # checkpoints of many megabytes


def test_presets_say_what_they_are_called():
    found = {}
    for path in catalog.SEMI:
        hook = catalog.config(path).custom_hooks[0]
        name = path.stem.partition('_')[0]
        dropout = hook.get('feature_dropout', 0)
        found[name] = hook.teacher, hook.soft, hook.get('views', 1), dropout
    assert found == {
        'semi-mean-teacher': ('ema', False, 1, 0),
        'semi-fixmatch': ('self', False, 1, 0),
        'semi-unimatch': ('self', False, 2, 0),
        'semi-unimatch-v2': ('ema', False, 2, 0.5),
        'semi-jml-soft': ('ema', True, 1, 0),
    }
