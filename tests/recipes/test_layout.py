"""Recipes say only what they change, and tables list all of them."""

import re
from collections import Counter
from itertools import combinations

import pytest

from . import catalog

FILES = sorted(catalog.CONFIGS.rglob('*.py'))
MOST_FILES, MOST_LINES = 3, 10


def depth(path):
    """Counts the files from a config to the farthest of its bases."""
    return 1 + max(map(depth, catalog.bases(path)), default=0)


def lines(path):
    """Counts the lines that say something, wherever they stand.

    Indentation and lines of brackets alone do not count, comments do.
    """
    found = (line.strip() for line in path.read_text().splitlines())
    return Counter(line for line in found if re.search(r'\w', line))


def test_bases_are_few():
    deep = [catalog.name(path) for path in FILES if depth(path) > MOST_FILES]
    assert deep == []


def test_no_two_files_repeat_each_other():
    counted = {path: lines(path) for path in FILES}
    repeated = {
        (a.name, b.name): equal
        for a, b in combinations(FILES, 2)
        if (equal := sum((counted[a] & counted[b]).values())) > MOST_LINES
    }
    assert repeated == {}


@pytest.mark.parametrize('path', catalog.ALL, ids=catalog.name)
def test_name_says_what_the_config_holds(path):
    named = re.fullmatch(r'.+_4xb2-(.+)_([^_]+)', path.stem)
    training, dataset = named.groups()
    cfg = catalog.config(path)
    *words, length = training.split('-')
    assert cfg.train_cfg.max_iters == 1000 * int(length[:-1])
    assert cfg.train_dataloader.batch_size == 2
    optimizer = 'SGD' if 'sgd' in words else 'AdamW'
    assert cfg.optim_wrapper.optimizer.type == optimizer
    smooths = 'label_smoothing' in str(cfg.model.decode_head.loss_decode)
    assert smooths is ('bls' in words)
    height, width = map(int, dataset.rpartition('-')[2].split('x'))
    assert dataset in catalog.DATASETS
    assert cfg.model.data_preprocessor['size'] == (height, width)
    hooks = [hook.type for hook in cfg.get('custom_hooks', [])]
    kinds = dict(kd='DistillationHook', semi='PseudoLabelHook')
    hook = kinds.get(path.stem.partition('-')[0])
    assert hooks == [f'mmseg_jml.{hook}'] * bool(hook)


@pytest.mark.parametrize('folder', catalog.FOLDERS)
def test_readme_lists_every_config(folder):
    folder = catalog.CONFIGS / folder
    configs = {path.name for path in folder.glob('*.py')}
    text = (folder / 'README.md').read_text()
    linked = re.findall(r'\]\(([^()/]+\.py)\)', text)
    assert Counter(linked) == Counter(configs)
