"""The semi-supervised demo from end to end, on few iterations."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_jml.datasets import write_digit_scenes
from tests.tools.run import ROOT, apart, losses

CONFIGS = ROOT / 'configs/demo_semi'
NAMES = 'labels alone', 'soft, CE + JML'
PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT / 'tools')!r})
import demo_semi
demo_semi.LABELED = {{'1-16': 50}}
demo_semi.ENDS = {{name: demo_semi.ENDS[name] for name in {NAMES!r}}}
demo_semi.main()
"""


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """What a part of the demo, one share of labels and two ends, gives."""
    home = tmp_path_factory.mktemp('demo_semi')
    write_digit_scenes(
        home / 'data/digit_scenes', {'training': 801, 'validation': 10}
    )
    shown = apart(
        *(sys.executable, '-c', PROGRAM, '--seeds', '1'),
        *('--iters', '20', '--work-dir', 'out', '--jobs', '2'),
        cwd=home,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return shown.stdout, home / 'out/semi_20_iterations'


def test_one_table_of_all(finished):
    output, folder = finished
    with (folder / 'scores.csv').open() as file:
        lines = {line['loss']: line for line in csv.DictReader(file)}
    assert set(lines) == {f'1-16 {name}' for name in NAMES}
    for name in NAMES:
        (row,) = (line for line in output.splitlines() if f'│ {name}' in line)
        assert f'{float(lines[f"1-16 {name}"]["mIoU"]):.1f}' in row


def test_runs_go_on_from_the_labels_alone(finished):
    folder = finished[1] / '1-16'
    start = folder / 'start_seed0/iter_20.pth'
    configs = {p.stem: Config.fromfile(p) for p in folder.glob('configs/*')}
    assert len(configs) == 1 + len(NAMES)
    for name, cfg in configs.items():
        assert cfg.train_dataloader.dataset.indices == 50
        begins = name.startswith('start')
        assert cfg.load_from == (None if begins else str(start.resolve()))
        assert cfg.train_cfg.max_iters == (20 if begins else 12)


def test_log_and_picture_show_the_pseudo_labels(finished):
    folder = finished[1]
    terms = {
        name: {
            key
            for step in losses(folder / '1-16' / f'{name}_seed0')
            for key in step
            if 'pseudo' in key
        }
        for name in ('start', 'labels-alone', 'soft-ce-jml')
    }
    logged = {'decode.loss_pseudo_jml_ce', 'pseudo_confident', 'pseudo_mIoU'}
    assert terms == {
        'start': set(),
        'labels-alone': set(),
        'soft-ce-jml': logged,
    }
    picture = np.array(Image.open(folder / 'pseudo_labels.png'))
    assert min(picture.shape[:2]) > 300
    assert picture[..., :3].std() > 10


def test_runs_differ_in_the_pseudo_labels_alone():
    first, *others = (
        Config.fromfile(path).to_dict() for path in CONFIGS.glob('semi-*')
    )
    assert len(others) == 2
    for cfg in (first, *others):
        for key in ('custom_hooks', 'pseudo_label', 'ce'):
            cfg.pop(key, None)
    assert all(other == first for other in others)
