"""The three ways of the README to change a loss, each walked as it stands."""

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from tests.tiny_run import write_images
from tests.tools import run
from tests.zoo.catalog import CONFIGS

from .pages import ROOT

README = (ROOT / 'README.md').read_text()
WAYS = README.partition('## Change the loss\n')[2].partition('\n## ')[0]
MMSEG = CONFIGS.parent
# In place of the config on the page, whose data nobody carries about.
SHOWN = 'pspnet/pspnet_r50-d8_4xb2-80k_cityscapes-512x1024.py'
SMALL = 'unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py'
OPTIONS = [
    'model.backbone.base_channels=4',
    'model.decode_head.in_channels=4',
    'model.auxiliary_head.in_channels=8',
    'val_dataloader.dataset.pipeline.1.scale=(64,64)',
    'train_cfg.max_iters=2',
    'default_hooks.logger.interval=1',
    *('train_dataloader.num_workers=0', 'val_dataloader.num_workers=0'),
    'train_dataloader.persistent_workers=False',
    'val_dataloader.persistent_workers=False',
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Makes a folder with data/DRIVE, and works there."""
    write_images(tmp_path / 'noise')
    for source in (tmp_path / 'noise').glob('*/*.png'):
        picture, target = Image.open(source), f'images/{{}}/{source.name}'
        if source.parent.name == 'masks':  # of vessels and background
            picture = picture.point([0] + [1] * 255)
            target = f'annotations/{{}}/{source.stem}_manual1.png'
        for part in ('training', 'validation'):
            path = tmp_path / 'data/DRIVE' / target.format(part)
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(number):
    """The words behind "python" on the page, for the small config."""
    way = re.search(rf'\*\*{number}\..*?(?=\*\*\d\.|\Z)', WAYS, re.DOTALL)[0]
    text = re.search(r'```shell\n(.*?)```', way, re.DOTALL)[1]
    text = text.replace('\\\n', ' ').replace(SHOWN, SMALL)
    _, *words = shlex.split(text.replace('MMSEG', str(MMSEG)))
    return [*words, '--work-dir', 'out', '--cfg-options', *OPTIONS]


def write_config(folder: Path) -> None:
    text = re.search(r'```python\n(.*?)```', WAYS, re.DOTALL)[1]
    text = text.replace(SHOWN, SMALL).replace('MMSEG', str(MMSEG))
    (folder / 'my_config.py').write_text(text)


def check(folder: Path) -> None:
    steps = run.losses(folder / 'out')
    assert len(steps) == 2
    for step in steps:
        assert step['decode.loss_jml_ce'] > 0
        assert step['aux.loss_ce'] > 0
    hooks = str(run.trained_config(folder / 'out').custom_hooks)
    assert 'HeadResolutionHook' in hooks


def test_a_flag_and_a_stock_config(folder):
    tool, *words = command(1)
    run.tool(Path(tool).name, *words)
    check(folder)


def test_a_config_in_any_folder(folder):
    write_config(folder)
    tool, *words = command(2)
    run.tool(Path(tool).name, *words)
    check(folder)


def test_own_tool_of_mmseg(folder):
    write_config(folder)
    run.python(*command(3), cwd=folder)
    check(folder)
