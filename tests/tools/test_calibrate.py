"""``tools/analysis_tools/calibrate.py``, run as users run it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from tests.functional.test_temperature import optimised
from tests.tolerances import FITTED

from . import run

TOOL = 'analysis_tools/calibrate.py'


SHARES = np.array([0.7, 0.2, 0.1])


@pytest.fixture(scope='module')
def rare(tiny, tmp_path_factory):
    """A config whose masks hold classes of 70, 20 and 10 %."""
    folder = tmp_path_factory.mktemp('rare')
    cfg = Config.fromfile(tiny)
    for path in Path(cfg.val_dataloader.dataset.data_root).glob('masks/*'):
        draw = np.random.default_rng(int(path.stem))
        mask = draw.choice(3, (48, 48), p=SHARES)
        Image.fromarray(mask.astype(np.uint8)).save(folder / path.name)
    prefix = dict(img_path='images', seg_map_path=str(folder))
    cfg.val_dataloader.dataset.data_prefix = prefix
    cfg.default_hooks.checkpoint.save_best = 'mIoU'
    cfg.dump(folder / 'rare.py')
    return folder / 'rare.py'


def runner_of(config, work_dir):
    cfg = Config.fromfile(config)
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    cfg.default_hooks.checkpoint = None
    return Runner.from_cfg(cfg)


@pytest.fixture(scope='module')
def checkpoint(rare):
    """A model that knows the shares and is three times too certain."""
    model = runner_of(rare, rare.parent / 'certain').model
    head = model.decode_head.conv_seg
    head.weight.data.normal_(std=0.01)
    head.bias.data = 3 * torch.from_numpy(SHARES).float().log()
    path = rare.parent / 'certain.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def table_of(work_dir):
    """The table at the end of the log."""
    text = run.log_of(work_dir)
    found = re.findall(r'^\| +(before|after) +\|(.*)\|$', text, re.MULTILINE)
    cells = {key: list(map(float, row.split('|'))) for key, row in found}
    (temperature,) = re.findall(r'temperature (\d+\.\d+)\n', text)
    return dict(cells, temperature=float(temperature))


def test_temperature_before_and_after(rare, checkpoint, tmp_path):
    run.tool(TOOL, rare, checkpoint, '--work-dir', tmp_path)
    table = table_of(tmp_path)
    pixels, labels = predicted(rare, checkpoint, tmp_path / 'again')
    best = optimised(pixels.double(), labels, 'logits')
    assert table['temperature'] == pytest.approx(best, rel=FITTED)
    # the pixels of a few images tell it to a few percent
    assert table['temperature'] == pytest.approx(3, rel=0.05)

    def entropy(temperature):
        return torch.nn.functional.cross_entropy(
            pixels.T.double() / temperature, labels
        ).item()

    error = 1e-4  # logged with four decimals
    assert table['before'][4] == pytest.approx(entropy(1), abs=error)
    assert table['after'][4] == pytest.approx(entropy(best), abs=error)
    # 0.7 is taken for 0.7^3 / (0.7^3 + 0.2^3 + 0.1^3), then for 0.7
    assert table['before'][0] == pytest.approx(97.4 - 70, abs=1)
    assert table['after'][0] < 1
    pictures = {path.name for path in tmp_path.rglob('vis_image/*.png')}
    assert pictures == {'reliability_before_0.png', 'reliability_after_0.png'}


def predicted(config, checkpoint, work_dir):
    """Logits (C, P) and labels (P,) of the validation set."""
    runner = runner_of(config, work_dir)
    runner.load_checkpoint(str(checkpoint))
    runner.model.eval()
    logits, labels = [], []
    for batch in runner.build_dataloader(runner.cfg.val_dataloader):
        with torch.no_grad():
            for sample in runner.model.val_step(batch):
                logits.append(sample.seg_logits.data.flatten(1))
                labels.append(sample.gt_sem_seg.data.flatten())
    return torch.cat(logits, 1), torch.cat(labels)


def test_config_without_a_validation_set(rare, checkpoint, tmp_path):
    options = '--cfg-options val_dataloader=None --work-dir'
    with pytest.raises(ValueError, match='val_dataloader in the config'):
        run.tool(TOOL, rare, checkpoint, options, tmp_path)
