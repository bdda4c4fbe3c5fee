"""``tools/dataset_check.py``, run as users run it."""

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from . import run

TOOL = 'dataset_check.py'


@pytest.fixture
def config(tmp_path, tiny):
    """A config with images of its own, all of them sky but for a road."""
    cfg = Config.fromfile(tiny)
    for part in ('images', 'masks'):
        (tmp_path / 'data' / part).mkdir(parents=True)
        for i in range(3):
            path = tmp_path / f'data/{part}/{i}.png'
            pixels = np.zeros((48, 48) + (3,) * (part == 'images'), np.uint8)
            if part == 'masks':
                pixels[: 12 * i], pixels[47] = 1, 2
            Image.fromarray(pixels).save(path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(tmp_path / 'data')
    cfg.train_dataloader.dataset.pipeline[2].ratio_range = (1.0, 2.0)
    cfg.dump(tmp_path / 'my.py')
    return tmp_path / 'my.py'


@pytest.fixture
def checked(config, monkeypatch, capsys):
    """Runs the tool; returns its exit status and what it printed."""
    monkeypatch.chdir(config.parent)

    def checked(options=''):
        with pytest.raises(SystemExit) as stopped:
            run.tool(TOOL, config, options)
        return stopped.value.code, capsys.readouterr().out

    return checked


SHEET = 'work_dirs/my/contact_sheet.png'
TRAIN_ALONE = '--cfg-options val_dataloader=None'


def test_good_data(checked):
    status, shown = checked()
    assert status == 0
    assert 'train: 3 images, 3 opened, 0.0% of pixels ignored' in shown
    assert 'No problem found.' in shown
    # 2, 4 and 4 of 48 rows have another class beside them
    assert 'train, label smoothing: 6.9% of labelled pixels lie at' in shown
    assert 'train, level: D, the default. No class is in 10 images' in shown
    # (0 + 12 + 24) rows of 3 x 48 are road, 3 are car
    cells = [line.split('|') for line in shown.splitlines() if '|' in line]
    assert [[x.strip() for x in row[1:-1]] for row in cells[1:]] == [
        ['sky', '72.92', '72.92'],
        ['road', '25.00', '25.00'],
        ['car', '2.08', '2.08'],
    ]
    assert min(Image.open(SHEET).size) > 500


def test_limit_and_options(checked, tmp_path):
    status, shown = checked(f'--limit 1 --out sheet.png {TRAIN_ALONE}')
    assert status == 0
    assert 'train: 3 images, 1 opened' in shown
    assert 'note: 1 classes never occur: road' in shown
    assert 'val' not in shown
    assert (tmp_path / 'sheet.png').exists()


def test_bad_data(checked, tmp_path):
    Image.new('L', (48, 48), 9).save(tmp_path / 'data/masks/1.png')
    status, shown = checked()
    assert status == 1
    assert 'PROBLEM: label values that are neither one of the 3' in shown
    assert '2 problems.' in shown
    assert (tmp_path / SHEET).exists()
    status, shown = checked(TRAIN_ALONE)
    assert status == 1
    assert shown.endswith('1 problem.\n')


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        ('nowhere.py', 'no such file: nowhere.py'),
        ('my.py --limit 0', 'at least 1 but got 0'),
    ],
)
def test_bad_arguments(config, monkeypatch, capsys, words, told):
    monkeypatch.chdir(config.parent)
    with pytest.raises(SystemExit, match='2'):
        run.tool(TOOL, words)
    assert told in capsys.readouterr().err
