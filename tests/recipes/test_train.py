"""A dozen recipes run through ``tools/train.py`` at an eighth of their size.

Three iterations with validation and checkpoint, every architecture that is
small enough, every data set, both optimizers.
"""

from __future__ import annotations

import json
import shutil

import pytest
from mmengine.runner.checkpoint import CheckpointLoader

from tests.tools import run

from . import catalog, small

pytestmark = pytest.mark.filterwarnings('ignore')

SAMPLE = (
    'jml/pspnet_r18-d8_4xb2-jml-80k_cityscapes-512x1024',
    'jml/deeplabv3_mobilenet-v2-d8_4xb2-jml-40k_voc12aug-512x512',
    'jml/deeplabv3_r18-d8_4xb2-jml-40k_deepglobe-land-512x512',
    'jml/deeplabv3plus_efficientnet-b0-d32_4xb2-jml-160k_ade20k-512x512',
    'jml/deeplabv3plus_mobilevit-s-d32_4xb2-jml-80k_cityscapes-512x1024',
    'jml/unet-s5-d16_fcn_4xb2-jml-80k_cityscapes-512x1024',
    'jml/segformer_mit-b0_4xb2-jml-160k_ade20k-512x512',
    'jml/segmenter_vit-s_mask_4xb2-jml-80k_cityscapes-512x1024',
    'jml/segnext_mscan-t_4xb2-jml-40k_voc12aug-512x512',
    'jml/ddrnet_23-slim_4xb2-jml-sgd-80k_cityscapes-512x1024',
    'jml/pidnet-s_4xb2-jml-sgd-80k_cityscapes-512x1024',
    'jml_smooth/pspnet_r18-d8_4xb2-jml-bls-160k_ade20k-512x512',
)


@pytest.fixture
def work_dir(tmp_path):
    yield tmp_path / 'run'
    shutil.rmtree(tmp_path / 'run')  # checkpoints of many megabytes


def validated(work_dir) -> dict:
    """Returns what the run logged of its one validation."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    lines = map(json.loads, path.read_text().splitlines())
    (line,) = (line for line in lines if 'mIoU' in line)
    return line


@pytest.mark.parametrize(
    'path',
    [catalog.CONFIGS / f'{name}.py' for name in SAMPLE],
    ids=catalog.name,
)
@pytest.mark.usefixtures('strict')
def test_trains_validates_and_saves(path, data_root, work_dir, monkeypatch):
    cfg = small.read(path, data_root)
    small.shorten(cfg, 3)
    config = work_dir.parent / path.name
    cfg.dump(config)
    run.here(monkeypatch, 'train.py', config, '--work-dir', work_dir)
    steps = run.losses(work_dir)
    assert [step['step'] for step in steps] == [1, 2, 3]
    assert 0 <= validated(work_dir)['mIoU'] <= 100
    weights = CheckpointLoader.load_checkpoint(str(work_dir / 'iter_3.pth'))
    assert all(x.isfinite().all() for x in weights['state_dict'].values())
    assert weights['meta']['iter'] == 3
