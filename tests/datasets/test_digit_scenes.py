"""The demo scenes as an ordinary dataset."""

from __future__ import annotations

import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_jml.datasets import DigitScenesDataset, write_digit_scenes
from mmseg_jml.datasets.digit_composer import compose_scene

NUM_SCENES = {'training': 6, 'validation': 4}
BASE = Path(__file__).parents[2] / 'configs/_base_/datasets/digit_scenes.py'


def fingerprint(root):
    return {
        path.relative_to(root): path.read_bytes()
        for path in root.rglob('*')
        if path.is_file()
    }


def test_two_builds_are_equal(scenes, tmp_path):
    write_digit_scenes(tmp_path / 'again', NUM_SCENES)
    written = fingerprint(scenes)
    assert len(written) == 2 * (6 + 4) + 1
    assert fingerprint(tmp_path / 'again') == written


def test_files_hold_the_composed_pixels(scenes):
    pixels, mask = compose_scene('validation', 3)
    image = Image.open(scenes / 'images/validation/0003.png')
    annotation = Image.open(scenes / 'annotations/validation/0003.png')
    assert np.array_equal(image, pixels)
    assert np.array_equal(annotation, mask)
    # seen in a viewer, a mask has the colours of the dataset's palette
    palette = np.array(DigitScenesDataset.METAINFO['palette'])
    assert np.array_equal(annotation.convert('RGB'), palette[mask])


@pytest.mark.parametrize('split', NUM_SCENES)
def test_loads_through_the_base_config(scenes, split):
    """Stock transforms and loader, built as the Runner builds them."""
    init_default_scope('mmseg')
    cfg = Config.fromfile(BASE)
    entry = cfg.train_dataloader if split == 'training' else cfg.val_dataloader
    entry.dataset.data_root = str(scenes)
    entry.batch_size = 2
    entry.sampler = dict(type='DefaultSampler', shuffle=False)
    loader = Runner.build_dataloader(entry, seed=0)
    assert len(loader.dataset) == NUM_SCENES[split]
    batch = next(iter(loader))
    for index in range(2):
        pixels, mask = compose_scene(split, index)
        bgr = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)
        assert torch.equal(batch['inputs'][index], bgr)
        truth = batch['data_samples'][index].gt_sem_seg.data
        assert truth.dtype == torch.int64
        assert torch.equal(truth[0], torch.from_numpy(mask).long())


@pytest.mark.parametrize('prefix', ['', 'mmseg_jml.'])
def test_is_found_by_both_names(scenes, prefix):
    dataset = DATASETS.build(
        dict(
            type=f'{prefix}DigitScenesDataset',
            data_root=str(scenes),
            data_prefix=dict(img_path='images/training'),
        )
    )
    assert isinstance(dataset, DigitScenesDataset)


def test_each_class_has_a_name_and_a_colour(scenes):
    meta = DigitScenesDataset(data_root=str(scenes), lazy_init=True).metainfo
    assert len(meta['classes']) == len(set(meta['classes'])) == 11
    assert len(meta['palette']) == len({*map(tuple, meta['palette'])}) == 11


def test_scenes_are_written_when_they_are_missed(tmp_path, monkeypatch):
    monkeypatch.setattr(
        'mmseg_jml.datasets.digit_scenes.NUM_SCENES', NUM_SCENES
    )
    dataset = DigitScenesDataset(
        data_root=str(tmp_path / 'data/scenes'),
        data_prefix=dict(
            img_path='images/training', seg_map_path='annotations/training'
        ),
    )
    assert len(dataset) == 6


def test_whole_scenes_are_left_alone(scenes):
    before = {path: path.stat().st_mtime_ns for path in scenes.rglob('*')}
    write_digit_scenes(scenes)
    write_digit_scenes(scenes, NUM_SCENES)
    assert before == {p: p.stat().st_mtime_ns for p in scenes.rglob('*')}


@pytest.mark.parametrize('loss', ['contents.json', 'images/training/0002.png'])
def test_half_written_scenes_are_replaced(scenes, tmp_path, loss):
    root = tmp_path / 'scenes'
    shutil.copytree(scenes, root)
    (root / loss).unlink()
    write_digit_scenes(root, NUM_SCENES)
    assert fingerprint(root) == fingerprint(scenes)
    assert [path.name for path in tmp_path.iterdir()] == ['scenes']


def test_scenes_of_another_recipe_are_replaced(scenes, tmp_path):
    root = tmp_path / 'scenes'
    shutil.copytree(scenes, root)
    contents = root / 'contents.json'
    contents.write_text(contents.read_text().replace('0.8', '0.7'))
    write_digit_scenes(root, NUM_SCENES)
    assert fingerprint(root) == fingerprint(scenes)


def test_other_files_are_never_removed(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(ValueError, match='nothing but scenes.*thesis.tex'):
        write_digit_scenes(tmp_path, NUM_SCENES)
    assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


def test_processes_may_write_at_once(scenes, tmp_path):
    root = tmp_path / 'scenes'
    context = multiprocessing.get_context('spawn')
    writers = [
        context.Process(target=write_digit_scenes, args=(root, NUM_SCENES))
        for _ in range(2)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert fingerprint(root) == fingerprint(scenes)
    assert [path.name for path in tmp_path.iterdir()] == ['scenes']
