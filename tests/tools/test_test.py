"""``tools/test.py``, run as users run it."""

import cv2
import pytest
from mmengine.config import Config

from mmseg_jml import cli
from tests.tiny_run import CLASSES

from . import run


@pytest.fixture(scope='module')
def trained(tiny, tmp_path_factory):
    """Trains once; returns the work dir."""
    work_dir = tmp_path_factory.mktemp('trained')
    loss = '--loss JaccardMetricCELoss --work-dir'
    run.tool('train.py', tiny, loss, work_dir)
    return work_dir


@pytest.fixture
def maps(tiny, trained, tmp_path):
    """Tests the checkpoint with options; returns the predictions."""

    def maps(*options) -> list:
        out = '--work-dir', tmp_path / 'work', '--out', tmp_path / 'maps'
        run.tool('test.py', tiny, trained / 'iter_4.pth', *out, *options)
        names = {f'{i}.png' for i in range(10)}
        assert {x.name for x in (tmp_path / 'maps').glob('*.png')} == names
        paths = [str(tmp_path / 'maps' / name) for name in sorted(names)]
        return [cv2.imread(path, cv2.IMREAD_UNCHANGED) for path in paths]

    return maps


def test_stock_config_tests_the_checkpoint(maps, tmp_path):
    found = maps('--show-dir', tmp_path / 'painted')
    assert 'mIoU' in run.log_of(tmp_path / 'work')
    assert found[0].max() < len(CLASSES)
    assert len(list((tmp_path / 'painted').rglob('*.png'))) == 10


def test_full_resolution_predicts_the_same(maps, monkeypatch):
    added, build = [], cli.build_runner

    def note(cfg, verbose):
        added.append('HeadResolutionHook' in str(cfg.get('custom_hooks')))
        return build(cfg, verbose)

    monkeypatch.setattr(cli, 'build_runner', note)
    found = zip(maps(), maps('--full-resolution'))
    assert added == [True, False]
    assert all((a == b).all() for a, b in found)


def test_test_time_augmentation(trained, tmp_path):
    (config,) = trained.glob('*.py')
    checkpoint = trained / 'iter_4.pth'
    run.tool('test.py', config, checkpoint, '--tta --work-dir', tmp_path)
    assert 'SegTTAModel' in run.log_of(tmp_path)
    assert 'mIoU' in run.log_of(tmp_path)


@pytest.mark.parametrize(
    ('options', 'changes', 'told'),
    [
        (
            ['--show-dir', 'painted'],
            dict(default_hooks={}),
            'add visualization=dict',
        ),
        (
            ['--tta'],
            dict(tta_pipeline=None),
            'for --tta but got no tta_pipeline;',
        ),
        (
            ['--out', 'maps'],
            dict(test_evaluator=[dict(type='mmseg_jml.FineGrainedIoUMetric')]),
            'for --out, such as IoUMetric, but got mmseg_jml.FineGrained',
        ),
    ],
)
def test_options_without_what_they_need_end_in_a_sentence(
    tiny, tmp_path, options, changes, told
):
    cfg = Config.fromfile(tiny)
    for key, value in changes.items():
        if value is None:
            cfg.pop(key)
        else:
            cfg[key] = value
    path = tmp_path / 'changed.py'
    cfg.dump(path)
    with pytest.raises(SystemExit, match=told):
        run.tool('test.py', path, tmp_path / 'no.pth', *options)


def test_maps_come_from_the_metric_that_writes_them(tiny, trained, tmp_path):
    cfg = Config.fromfile(tiny)
    cfg.test_evaluator = [
        dict(type='mmseg_jml.FineGrainedIoUMetric'),
        dict(type='IoUMetric', iou_metrics=['mIoU']),
    ]
    path, maps = tmp_path / 'two.py', tmp_path / 'maps'
    cfg.dump(path)
    run.tool('test.py', path, trained / 'iter_4.pth', '--out', maps)
    assert len(list(maps.glob('*.png'))) == 10
