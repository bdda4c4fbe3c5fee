"""Each thing that can be wrong with a data set, made wrong in one."""

import re
from functools import reduce
from operator import getitem
from pathlib import Path

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_jml.data_check import check_config, find_obstacles
from mmseg_jml.losses import JaccardMetricLoss
from tests.tiny_run import CLASSES, tiny_config, write_images


@pytest.fixture
def cfg(tmp_path):
    """A config whose data is right: six images to train, four to validate."""
    root = tmp_path / 'data'
    write_images(root)
    (root / 'train.txt').write_text('\n'.join('012345'))
    (root / 'val.txt').write_text('\n'.join('6789'))
    cfg = tiny_config(root, tmp_path)
    # the upper half of 0 is sky, and a quarter is ignored
    mask = np.full((48, 48), 1, np.uint8)
    mask[:24], mask[24:, 24:] = 0, 255
    Image.fromarray(mask).save(root / 'masks/0.png')
    for part in ('train', 'val'):
        entry = cfg[f'{part}_dataloader'].dataset
        # to serialise takes a quarter of a second
        entry.update(ann_file=f'{part}.txt', serialize_data=False)
    cfg.train_dataloader.dataset.pipeline[2].ratio_range = (1.0, 2.0)
    return cfg


def root_of(cfg) -> Path:
    return Path(cfg.train_dataloader.dataset.data_root)


def found(cfg, limit=None):
    return {findings.name: findings for findings in check_config(cfg, limit)}


def test_nothing_is_wrong(cfg):
    for findings in found(cfg).values():
        assert findings.problems == []
        assert findings.notes == []


def test_heads_for_other_tasks_have_other_classes(cfg):
    """As in mmseg's STDC configs."""
    border = dict(type='STDCHead', num_classes=2, boundary_threshold=0.1)
    cfg.model.auxiliary_head = [border]
    assert found(cfg)['train'].problems == []


def test_class_frequencies(cfg):
    train, val = found(cfg).values()
    assert (train.images, train.examined) == (6, 6)
    assert (val.images, val.examined) == (4, 4)
    for findings, names in ((train, '012345'), (val, '6789')):
        masks = [
            np.array(Image.open(root_of(cfg) / f'masks/{name}.png'))
            for name in names
        ]
        expected = [sum((m == c).sum() for m in masks) for c in (0, 1, 2, 255)]
        assert findings.pixels.tolist() == expected
    assert train.classes == CLASSES
    only_first = found(cfg, 1)['train']
    assert only_first.pixels.tolist() == [1152, 576, 0, 576]


def test_views_are_those_of_the_pipeline(cfg):
    load, label, *_ = cfg.train_dataloader.dataset.pipeline
    flip, pack = dict(type='RandomFlip', prob=1.0), dict(type='PackSegInputs')
    resize = dict(type='Resize', scale=(24, 24))
    cfg.train_dataloader.dataset.pipeline = [load, label, flip, pack]
    cfg.val_dataloader.dataset.pipeline = [load, resize, label, pack]
    train, val = found(cfg).values()
    assert len(train.views) == 6
    for i, view in enumerate(train.views):
        for part, pixels in (('images', view.image), ('masks', view.label)):
            file = Image.open(root_of(cfg) / f'{part}/{i}.png')
            np.testing.assert_array_equal(pixels, np.array(file)[:, ::-1])
    # drawn over each other, they have one size
    assert val.views[0].image.shape == (24, 24, 3)
    mask = np.array(Image.open(root_of(cfg) / 'masks/6.png'))
    np.testing.assert_array_equal(val.views[0].label, mask[::2, ::2])


def test_what_is_wrong_is_shown_first(cfg):
    """By the file's name; what cannot be opened has no picture."""
    spoil(cfg, 'label_values')
    (root_of(cfg) / 'images/1.png').write_bytes(b'no image')
    first, second, *others = found(cfg)['train'].views
    assert (first.name, first.problem) == ('1.png', 'cannot be read')
    assert first.image is first.label is None
    assert (second.name, second.problem) == ('3.png', 'label values 3, 7')
    assert second.image is not None
    assert [view.name for view in others] == [f'{i}.png' for i in (0, 2, 4, 5)]
    assert not any(view.problem for view in others)


def grey(value=0, width=48):
    """Makes a file a label of 48 rows."""
    return lambda path: Image.new('L', (width, 48), value).save(path)


def two_values(path):
    mask = np.zeros((48, 48), np.uint8)
    mask[3, 4], mask[5, 5] = 3, 7
    Image.fromarray(mask).save(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


def text(content):
    return lambda path: path.write_text(content)


DELETED = object()
ROTATE = dict(type='RandomRotate', prob=1.0, degree=9, seg_pad_val='none')
# Keys of the data set's config get a value, files below the data a function.
CHANGES = dict(
    no_folder={'data_prefix.img_path': 'imagse'},
    no_list={'ann_file': 'trian.txt'},
    no_root={'data_root': 'nowhere'},
    # serialising is the default
    empty_list={'train.txt': text(''), 'serialize_data': True},
    empty_list_in_memory={'train.txt': text('')},
    other_suffix={'ann_file': '', 'img_suffix': '.jpg'},
    unknown_class={'type': 'BaseSegDatasset'},
    no_image={'images/3.png': Path.unlink},
    no_label={'masks/3.png': Path.unlink},
    label_alone={'masks/extra.png': grey()},
    no_label_folder={'data_prefix.seg_map_path': DELETED},
    listed_twice={'train.txt': text('\n'.join('0123453'))},
    other_size={'masks/3.png': grey(width=40)},
    broken_image={'images/3.png': text('no image')},
    broken_label={'masks/3.png': cut},
    label_values={'masks/3.png': two_values},
    classes_from_one={'masks/3.png': grey(3)},
    absent_class={f'masks/{i}.png': grey(1) for i in '012345'},
    large_crop={'pipeline.3.crop_size': (48, 97)},
    failing_pipeline={
        'pipeline.2': dict(type='RandomResize', scale=(48, 48)),
        'pipeline.4': ROTATE,
    },
    no_classes={'metainfo': DELETED},
    other_head={'metainfo.classes': tuple('abcde')},
)
TOLD = dict(
    no_folder='data_prefix.img_path of BaseSegDataset does not exist: '
    '.*imagse',
    no_list='ann_file of BaseSegDataset does not exist: .*/data/trian.txt',
    no_root='data_root of BaseSegDataset does not exist: nowhere',
    empty_list='ann_file of BaseSegDataset is empty: .*train.txt',
    empty_list_in_memory='cannot be built: ann_file .* is empty: .*train.txt',
    other_suffix=r'data/images holds no image whose name ends in \.jpg',
    unknown_class='cannot be built: KeyError: .*BaseSegDatasset',
    no_image='1 images do not exist: .*images/3.png',
    no_label='1 images have no label: .*masks/3.png',
    label_alone='1 labels have no image: .*masks/extra.png',
    no_label_folder='data_prefix.seg_map_path is missing',
    listed_twice='1 images are listed repeatedly: .*images/3.png$',
    other_size=r'1 labels and images differ .*3.png is \(48, 40\), '
    r'.* \(48, 48\)',
    broken_image=r'1 files cannot be read: .*images/3.png \(',
    broken_label=r'1 files cannot be read: .*masks/3.png \(OSError',
    label_values=r'neither one of the 3 classes, 0 to 2, nor 255, which is '
    r'ignored: 3 in 1 labels \(.*masks/3.png\), 7 in 1 labels \(.*\)\.$',
    classes_from_one='3 in 1 labels .*If 0 stands for no class, set '
    'reduce_zero_label',
    absent_class='2 classes never occur: sky, car',
    large_crop=r'crop of \(48, 97\) is larger than 6 of 6 images .* padding',
    failing_pipeline='its pipeline fails on 6 of 6 images: ',
    no_classes=r'it has no classes: set metainfo\.classes',
    other_head='decode_head has num_classes=3 but the data has 5 classes',
)


def spoil(cfg, name) -> str:
    """Does what is wrong; returns what is told."""
    for key, value in CHANGES[name].items():
        if callable(value):
            value(root_of(cfg) / key)
            continue
        *path, last = (int(x) if x.isdigit() else x for x in key.split('.'))
        node = reduce(getitem, path, cfg.train_dataloader.dataset)
        if value is DELETED:
            del node[last]
        else:
            node[last] = value
    return TOLD[name]


@pytest.mark.parametrize('name', CHANGES)
def test_problem_is_told(cfg, name):
    told = spoil(cfg, name)
    problems = found(cfg)['train'].problems
    assert any(re.search(told, text) for text in problems), problems


def test_what_may_be_intended_is_a_note(cfg):
    (root_of(cfg) / 'val.txt').write_text('\n'.join('056789'))
    cfg.train_dataloader.dataset.pipeline[3].crop_size = (64, 64)
    train, val = found(cfg, 1).values()
    assert train.problems == val.problems == []
    note = val.notes[-1]
    assert note.startswith('2 images are trained on too: ')
    absent, crop = sorted(train.notes)
    assert absent == '1 classes never occur: car'
    assert re.search(r'the crop .* is larger than [1-5] of 6 images', crop)


def test_wrappers(cfg):
    """Every data set in them is looked at."""
    part = cfg.train_dataloader.dataset
    datasets = [part, dict(part, ann_file='val.txt')]
    both = dict(type='ConcatDataset', datasets=datasets)
    twice = dict(type='RepeatDataset', times=2, dataset=both)
    cfg.train_dataloader.dataset = twice
    cfg.val_dataloader = None
    (train,) = found(cfg).values()
    assert (train.problems, train.images) == ([], 10)
    (Path(part.data_root) / 'masks/8.png').unlink()
    (train,) = found(cfg).values()
    assert any('1 images have no label' in text for text in train.problems)


def test_unlabelled_images_need_no_labels(cfg):
    source = dict(cfg.train_dataloader.dataset, ann_file='val.txt')
    del source['pipeline']
    for name in '6789':
        (root_of(cfg) / f'masks/{name}.png').unlink()
    cfg.val_dataloader = None
    loader = dict(dataset=source)
    cfg.custom_hooks.append(
        dict(type='mmseg_jml.PseudoLabelHook', unlabeled_dataloader=loader)
    )
    unlabelled = found(cfg)['unlabeled']
    assert (unlabelled.problems, unlabelled.images) == ([], 4)
    assert [view.label for view in unlabelled.views] == [None] * 4
    (root_of(cfg) / 'images/7.png').unlink()
    problems = found(cfg)['unlabeled'].problems
    assert any('1 images do not exist' in text for text in problems)


def test_config_without_data(cfg):
    cfg.train_dataloader = cfg.val_dataloader = None
    with pytest.raises(ValueError, match='train_dataloader or val_data'):
        check_config(cfg)


@pytest.mark.parametrize(
    'name',
    'no_folder no_list no_root empty_list other_suffix unknown_class '
    'label_values failing_pipeline other_head'.split(),
)
def test_train_py_tells_what_is_found_within_seconds(cfg, name):
    assert find_obstacles(cfg) == []
    told = spoil(cfg, name)
    if name == 'label_values':
        pipeline = cfg.val_dataloader.dataset.pipeline
        cfg.train_dataloader.dataset.pipeline = pipeline
        told = '3 in 1 labels .3.png., 7 in 1 labels'
    problems = find_obstacles(cfg)
    assert any(re.search(told, text) for text in problems), problems
    assert all(text.startswith(('train: ', 'val: ')) for text in problems)


def test_what_a_head_or_loss_ignores_is_no_obstacle(cfg):
    spoil(cfg, 'label_values')
    entry = cfg.train_dataloader.dataset
    entry.pipeline = cfg.val_dataloader.dataset.pipeline
    assert find_obstacles(cfg)
    cfg.model.decode_head.ignore_index = 3
    cfg.model.decode_head.loss_decode.ignore_index = 7
    assert find_obstacles(cfg) == []


def test_train_py_leaves_other_data_sets_alone(cfg):
    @DATASETS.register_module(force=True)
    class Listed(list):
        metainfo = dict(classes=())

        def __init__(self, **entry):
            super().__init__([0])

    cfg.train_dataloader.dataset = dict(type='Listed', data_root='nowhere')
    assert find_obstacles(cfg) == []


LOSS = 'model.decode_head.loss_decode'
UNKNOWN = "{}.type: nothing is called '{}'; did you mean '{}'?"
CE, NEW = 'CrossEntropyLos', 'mmseg_jml.JaccardMetricCELos'


@pytest.mark.parametrize(
    ('entry', 'told'),
    [
        (dict(type=NEW), [UNKNOWN.format(LOSS, NEW, 'JaccardMetricCELoss')]),
        (
            [dict(type='DiceLoss'), dict(type=CE)],
            [UNKNOWN.format(f'{LOSS}.1', CE, 'CrossEntropyLoss')],
        ),
        (
            dict(type='DiceLoss', loss_weight=-1.0),
            [
                f'{LOSS}.loss_weight: expected at least 0 but got -1.0, by '
                'which training would raise the loss'
            ],
        ),
        (
            dict(type='JaccardMetricLoss', smooth=-1),
            [f'{LOSS}: Expected smooth'],
        ),
        (
            dict(type='KLDivergenceLoss', use_sigmod=True),
            [f'{LOSS}: Expected KLDivergenceLoss to get its own options'],
        ),
        (dict(type=JaccardMetricLoss), []),
    ],
)
def test_losses_are_looked_up(cfg, entry, told):
    cfg.model.decode_head.loss_decode = entry
    found = find_obstacles(cfg)
    assert len(found) == len(told), found
    assert all(map(str.startswith, found, told)), found


def test_hooks_are_looked_up(cfg):
    wrong, right = 'DistilationHook', 'DistillationHook'
    cfg.custom_hooks = [dict(type='EMAHook'), dict(type=wrong)]
    timer = dict(type='IterTimerHok')
    cfg.default_hooks = dict(timer=timer, visualization=None)
    assert find_obstacles(cfg) == [
        UNKNOWN.format('custom_hooks.1', wrong, right),
        UNKNOWN.format('default_hooks.timer', 'IterTimerHok', 'IterTimerHook'),
    ]
