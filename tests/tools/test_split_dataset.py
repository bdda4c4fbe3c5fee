"""``tools/split_dataset.py`` on data sets in their real layouts."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_jml.data_check import check_config

from . import run

TOOL = 'split_dataset.py'
CITYSCAPES, VOC = (
    run.ROOT / f'configs/_base_/datasets/{name}.py'
    for name in ('cityscapes_512x1024', 'voc12aug_512x512')
)
ROOT = 'data/cityscapes'


def touch(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(path):
    return path.read_text().split()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Works in a folder, as the paths of configs are relative to one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cityscapes():
    """100 images of four cities; returns their names."""
    found = [
        f'{city}/{city}_{i:06}_000019'
        for city in ('aachen', 'bonn', 'ulm', 'zurich')
        for i in range(25)
    ]
    for name in found:
        touch(f'{ROOT}/leftImg8bit/train/{name}_leftImg8bit.png')
    touch(f'{ROOT}/gtFine/train/labels')
    return found


def split(source, options, out='out'):
    run.tool(TOOL, source, options, '--out', out)
    lists = Path(out, 'labeled.txt'), Path(out, 'unlabeled.txt')
    return tuple(map(names, lists))


def test_smaller_share_is_part_of_the_larger(cityscapes):
    sets = []
    for share, size in (('1/16', 7), ('1/8', 13), ('0.5', 50)):
        labelled, rest = split(CITYSCAPES, f'--ratio {share}')
        assert sorted(labelled + rest) == cityscapes
        assert labelled == sorted(labelled)
        assert len(labelled) == size
        sets.append(set(labelled))
    assert sets[0] < sets[1] < sets[2]
    assert set(split(CITYSCAPES, '--count 13')[0]) == sets[1]
    assert set(split(CITYSCAPES, '--count 13 --seed 1')[0]) != sets[1]


def test_config_of_both_lists(tiny, home):
    """As docs/data.md shows it; nothing is wrong with the two data sets."""
    labelled, rest = split(tiny, '--ratio 1/4')
    cfg = Config.fromfile(tiny)
    del cfg._cfg_dict['val_dataloader']
    entry = cfg.train_dataloader.dataset
    unlabelled = {k: v for k, v in entry.items() if k != 'pipeline'}
    unlabelled['data_prefix'] = dict(img_path='images')
    entry.ann_file = str(home / 'out/labeled.txt')
    unlabelled['ann_file'] = str(home / 'out/unlabeled.txt')
    loader = dict(dataset=unlabelled)
    cfg.custom_hooks = [
        dict(type='mmseg_jml.PseudoLabelHook', unlabeled_dataloader=loader)
    ]
    train, others = check_config(cfg)
    assert train.problems == others.problems == []
    assert (train.images, others.images) == (3, 7)
    assert sorted(labelled + rest) == list('0123456789')


def test_published_list_of_cityscapes(cityscapes):
    chosen = [cityscapes[3], cityscapes[60]]
    lines = [
        f'leftImg8bit/train/{name}_leftImg8bit.png '
        f'gtFine/train/{name}_gtFine_labelTrainIds.png\n'
        for name in reversed(chosen)
    ]
    Path('published.txt').write_text(''.join(lines))
    labelled, rest = split(CITYSCAPES, '--list published.txt')
    assert labelled == chosen
    assert len(rest) == 98


ADE = """
train_dataloader = dict(dataset=dict(
    type='RepeatDataset', times=2, dataset=dict(
        type='ADE20KDataset', data_root='ade',
        data_prefix=dict(img_path='images/training',
                         seg_map_path='annotations/training'))))
"""


def test_ade20k():
    listed = [f'ADE_train_{i:08}' for i in range(1, 65)]
    touch(*(f'ade/images/training/{name}.jpg' for name in listed))
    Path('ade.py').write_text(ADE)
    labelled, rest = split('ade.py', '--ratio 1/64')
    assert len(labelled) == 1
    assert sorted(labelled + rest) == listed


def test_folder(capsys):
    touch(*(f'images/{part}/{i}.png' for part in 'ab' for i in '123'))
    labeled, others = split('images', '--img-suffix .png --count 2')
    expected = ['a/1', 'a/2', 'a/3', 'b/1', 'b/2', 'b/3']
    assert sorted(labeled + others) == expected
    assert 'labeled.txt: 2 images' in capsys.readouterr().out


MISSING = 'does not exist: data/VOCdevkit/VOC2012'
NO_SHARE = 'expected a share between 0 and 1'


@pytest.mark.parametrize(
    ('source', 'options', 'message'),
    [
        ('images', '--count 3', 'from 1 to 2, as images has 3, but got 3'),
        ('images', '--count 0', 'but got 0'),
        ('images', '--count 1 --img-suffix .tif', 'as images has 0'),
        ('images', '--list list.txt', "1 that do not: '9.jpg'"),
        ('images', '--list no.txt', 'no.txt'),
        (VOC, '--ratio 1/16', MISSING),
        (VOC, '--ratio 1/16', f'{MISSING}/ImageSets/Segmentation/aug.txt'),
        (VOC, '--ratio 1/16', f'{MISSING}/JPEGImages'),
        ('images', '--ratio 2', NO_SHARE),
        ('images', '--ratio 0', NO_SHARE),
        ('images', '--ratio 1/0', NO_SHARE),
        ('images', '--ratio half', NO_SHARE),
    ],
)
def test_errors(capsys, source, options, message):
    touch('images/1.jpg', 'images/2.jpg', 'images/3.jpg')
    Path('list.txt').write_text('1.jpg\n9.jpg\n')
    with pytest.raises(SystemExit) as stopped:
        run.tool(TOOL, source, '--out out', options)
    assert message in f'{stopped.value} {capsys.readouterr().err}'
    assert not Path('out').exists()
