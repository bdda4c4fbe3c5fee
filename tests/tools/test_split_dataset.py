"""``tools/split_dataset.py`` on data sets in their real layouts."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmseg_jml.data_check import check_config

from . import run

TOOL = 'split_dataset.py'
BASES = run.ROOT / 'configs/_base_/datasets'


def touch(*paths):
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(path):
    return path.read_text().split()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working directory, as the paths of configs are relative to one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cityscapes(home):
    """100 images of four cities; returns their names."""
    found = [
        f'{city}/{city}_{i:06}_000019'
        for city in ('aachen', 'bonn', 'ulm', 'zurich')
        for i in range(25)
    ]
    root = home / 'data/cityscapes'
    for name in found:
        touch(root / f'leftImg8bit/train/{name}_leftImg8bit.png')
    touch(root / 'gtFine/train/labels')
    return found


def split(monkeypatch, source, out, *arguments):
    run.here(monkeypatch, TOOL, source, '--out', out, *arguments)
    return names(out / 'labeled.txt'), names(out / 'unlabeled.txt')


def test_smaller_share_is_part_of_the_larger(cityscapes, home, monkeypatch):
    config = BASES / 'cityscapes_512x1024.py'
    sets = {}
    for share in ('1/16', '1/8', '0.5'):
        out = home / share.replace('/', '_')
        labelled, rest = split(monkeypatch, config, out, '--ratio', share)
        assert sorted(labelled + rest) == cityscapes
        assert labelled == sorted(labelled)
        sets[share] = set(labelled)
    assert [len(part) for part in sets.values()] == [7, 13, 50]
    assert sets['1/16'] < sets['1/8'] < sets['0.5']

    again = split(monkeypatch, config, home / 'b', '--count', 13)[0]
    assert set(again) == sets['1/8']
    other = ('--count', 13, '--seed', 1)
    assert set(split(monkeypatch, config, home / 'c', *other)[0]) != set(again)


def test_lists_are_read_as_ann_file(cityscapes, home, monkeypatch):
    out = home / 'data/cityscapes/splits/13'
    config = BASES / 'cityscapes_512x1024.py'
    labelled, _ = split(monkeypatch, config, out, '--count', 13)
    init_default_scope('mmseg')
    entry = Config.fromfile(config).train_dataloader.dataset
    dataset = DATASETS.build(dict(entry, ann_file='splits/13/labeled.txt'))
    images = [dataset.get_data_info(i)['img_path'] for i in range(13)]
    assert images == [
        f'data/cityscapes/leftImg8bit/train/{name}_leftImg8bit.png'
        for name in labelled
    ]
    assert all(Path(image).exists() for image in images)


def test_config_of_both_lists(tiny, home, monkeypatch):
    """As docs/data.md shows it; nothing is wrong with the two data sets."""
    labelled, rest = split(monkeypatch, tiny, home / 'out', '--ratio', '1/4')
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


def test_published_list_of_cityscapes(cityscapes, home, monkeypatch):
    chosen = [cityscapes[3], cityscapes[60]]
    (home / 'published.txt').write_text(
        ''.join(
            f'leftImg8bit/train/{name}_leftImg8bit.png '
            f'gtFine/train/{name}_gtFine_labelTrainIds.png\n'
            for name in reversed(chosen)
        )
    )
    labelled, rest = split(
        monkeypatch,
        *(BASES / 'cityscapes_512x1024.py', home / 'out'),
        *('--list', 'published.txt'),
    )
    assert labelled == chosen
    assert len(rest) == 98


def test_voc_has_labels_in_two_folders(home, monkeypatch, capsys):
    root = home / 'data/VOCdevkit/VOC2012'
    train, aug = ['2007_32', '2007_39'], ['2008_2', '2008_7', '2009_9']
    for name in train + aug:
        touch(root / f'JPEGImages/{name}.jpg')
    for part, listed in (('train', train), ('aug', aug)):
        touch(root / f'ImageSets/Segmentation/{part}.txt')
        (root / f'ImageSets/Segmentation/{part}.txt').write_text(
            '\n'.join(listed)
        )
    (home / 'list.txt').write_text(
        'JPEGImages/2007_39.jpg SegmentationClass/2007_39.png\n'
        'JPEGImages/2009_9.jpg SegmentationClass/2009_9.png\n'
        'JPEGImages/2008_2.jpg SegmentationClass/2008_2.png\n'
    )
    run.here(
        monkeypatch, TOOL, BASES / 'voc12aug_512x512.py',
        '--list', 'list.txt', '--out', 'out',
    )  # fmt: skip
    lists = {path.name: names(path) for path in (home / 'out').iterdir()}
    assert lists == {
        'labeled_SegmentationClass.txt': ['2007_39'],
        'labeled_SegmentationClassAug.txt': ['2008_2', '2009_9'],
        'unlabeled.txt': ['2007_32', '2008_7'],
    }
    assert '2 images, labels in data/VOC' in capsys.readouterr().out


def test_ade20k(home, monkeypatch):
    folder = home / 'data/ade/ADEChallengeData2016'
    listed = [f'ADE_train_{i:08}' for i in range(1, 65)]
    for name in listed:
        touch(folder / f'images/training/{name}.jpg')
    (home / 'ade.py').write_text(
        f"""
train_dataloader = dict(dataset=dict(
    type='RepeatDataset', times=2, dataset=dict(
        type='ADE20KDataset', data_root={str(folder)!r},
        data_prefix=dict(img_path='images/training',
                         seg_map_path='annotations/training'))))
"""
    )
    labelled, rest = split(
        monkeypatch, 'ade.py', home / 'out', '--ratio', '1/64'
    )
    assert len(labelled) == 1
    assert sorted(labelled + rest) == listed


def test_folder(home, monkeypatch, capsys):
    touch(*(home / f'images/{part}/{i}.png' for part in 'ab' for i in '123'))
    labeled, others = split(
        *(monkeypatch, 'images', home / 'out'),
        *('--img-suffix', '.png', '--count', '2'),
    )
    assert sorted(labeled + others) == [
        'a/1',
        'a/2',
        'a/3',
        'b/1',
        'b/2',
        'b/3',
    ]
    assert 'labeled.txt: 2 images' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--count', '3'], 'from 1 to 2, as images has 3, but got 3'),
        (['--count', '0'], 'but got 0'),
        (['--count', '1', '--img-suffix', '.tif'], 'as images has 0'),
        (['--list', 'list.txt'], "1 that do not: '9.jpg'"),
        (['--list', 'no.txt'], 'no.txt'),
    ],
)
def test_errors(home, monkeypatch, arguments, message):
    touch('images/1.jpg', 'images/2.jpg', 'images/3.jpg')
    (home / 'list.txt').write_text('1.jpg\n9.jpg\n')
    with pytest.raises(SystemExit, match=message):
        run.here(monkeypatch, TOOL, 'images', '--out', 'out', *arguments)
    assert not (home / 'out').exists()


def test_config_whose_files_are_missing(home, monkeypatch):
    with pytest.raises(SystemExit) as stopped:
        run.here(
            monkeypatch, TOOL, BASES / 'voc12aug_512x512.py',
            '--ratio', '1/16', '--out', 'out',
        )  # fmt: skip
    folder = 'does not exist: data/VOCdevkit/VOC2012'
    for path in ('', '/ImageSets/Segmentation/aug.txt', '/JPEGImages'):
        assert folder + path in str(stopped.value)


@pytest.mark.parametrize('share', ['2', '0', '1/0', 'half'])
def test_ratio_is_a_share(home, monkeypatch, capsys, share):
    with pytest.raises(SystemExit, match='2'):
        run.here(monkeypatch, TOOL, '.', '--out', 'out', '--ratio', share)
    assert 'expected a share between 0 and 1' in capsys.readouterr().err
