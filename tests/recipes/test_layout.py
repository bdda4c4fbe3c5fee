"""Recipes say only what they change, and tables list all of them."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from modelindex.load_model_index import load

from . import catalog

FILES = sorted(catalog.CONFIGS.rglob('*.py'))
MOST_FILES, MOST_LINES = 3, 10


def depth(path) -> int:
    """Counts the files from a config to the farthest of its bases."""
    return 1 + max(map(depth, catalog.bases(path)), default=0)


def lines(path) -> Counter:
    """Counts the lines that say something, wherever they stand.

    Indentation and lines of brackets alone do not count, comments do.
    """
    found = (line.strip() for line in path.read_text().splitlines())
    return Counter(line for line in found if re.search(r'\w', line))


@pytest.mark.parametrize('path', FILES, ids=catalog.name)
def test_bases_are_few(path):
    assert depth(path) <= MOST_FILES


def test_no_two_files_repeat_each_other():
    counted = {path: lines(path) for path in FILES}
    repeated = {
        (a.name, b.name): equal
        for a, b in combinations(FILES, 2)
        if (equal := sum((counted[a] & counted[b]).values())) > MOST_LINES
    }
    assert repeated == {}


@pytest.mark.parametrize('path', catalog.RECIPES, ids=catalog.name)
def test_name_says_what_the_config_holds(path):
    model, training, dataset = re.fullmatch(
        r'(?:kd-jml_deeplabv3-r101-d8_)?(.+)_4xb2-(.+)_([^_]+)', path.stem
    ).groups()
    cfg = catalog.config(path)
    *words, length = training.split('-')
    assert cfg.train_cfg.max_iters == 1000 * int(length[:-1])
    assert cfg.train_dataloader.batch_size == 2
    optimizer = 'SGD' if 'sgd' in words else 'AdamW'
    assert cfg.optim_wrapper.optimizer.type == optimizer
    smoothed = [
        'label_smoothing' in text for text in entries(cfg.model.decode_head)
    ]
    assert any(smoothed) is ('bls' in words)
    height, width = map(int, dataset.rpartition('-')[2].split('x'))
    assert dataset in catalog.DATASETS
    assert cfg.model.data_preprocessor['size'] == (height, width)
    assert ('kd-jml' in path.stem) is ('custom_hooks' in cfg)


def entries(head) -> list[str]:
    """Returns the loss entries of a head as text."""
    found = head.loss_decode
    return [str(x) for x in (found if isinstance(found, list) else [found])]


@pytest.mark.parametrize('folder', [*catalog.FOLDERS, 'jml_semi'])
def test_readme_and_metafile_list_every_config(folder):
    folder = catalog.CONFIGS / folder
    configs = {path.name for path in folder.glob('*.py')}
    linked = re.findall(
        r'\]\(([^()/]+\.py)\)', (folder / 'README.md').read_text()
    )
    assert Counter(linked) == Counter(configs)
    meta = yaml.safe_load((folder / 'metafile.yml').read_text())
    named = [model['Config'] for model in meta['Models']]
    assert sorted(named) == sorted(
        f'configs/{folder.name}/{name}' for name in configs
    )
    for model in meta['Models']:
        assert f'{model["Name"]}.py' in configs
        assert model['Metadata']['Training Data'] in NAMES
        assert NAMES[model['Metadata']['Training Data']] in model['Name']


NAMES = {
    'Cityscapes': 'cityscapes',
    'Pascal VOC 2012 + Aug': 'voc12aug',
    'ADE20K': 'ade20k',
    'DeepGlobe Land': 'deepglobe-land',
}


def test_mim_finds_every_recipe():
    index = load(str(catalog.CONFIGS.parent / 'model-index.yml'))
    index.build_models_with_collections()
    found = {Path(model.config).stem for model in index.models}
    assert {path.stem for path in catalog.RECIPES} <= found
