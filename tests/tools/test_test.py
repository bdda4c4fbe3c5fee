"""``tools/test.py``, run as users run it."""

from __future__ import annotations

import cv2
import pytest

from mmseg_jml import cli
from tests.tiny_run import CLASSES

from . import run

pytestmark = pytest.mark.filterwarnings('ignore')


@pytest.fixture(scope='module')
def trained(tiny, tmp_path_factory):
    """Trains once; returns the work dir."""
    work_dir = tmp_path_factory.mktemp('trained')
    with pytest.MonkeyPatch.context() as monkeypatch:
        run.here(
            monkeypatch, 'train.py', tiny, '--loss', 'JaccardMetricCELoss',
            '--work-dir', work_dir,
        )  # fmt: skip
    return work_dir


def logged(work_dir):
    (log,) = work_dir.glob('*/*.log')
    return log.read_text()


def test_stock_config_tests_the_checkpoint(
    tiny, trained, tmp_path, monkeypatch
):
    run.here(
        monkeypatch, 'test.py', tiny, trained / 'iter_4.pth',
        '--work-dir', tmp_path / 'work', '--out', tmp_path / 'maps',
        '--show-dir', tmp_path / 'painted',
    )  # fmt: skip
    assert 'mIoU' in logged(tmp_path / 'work')
    maps = list((tmp_path / 'maps').glob('*.png'))
    assert {path.name for path in maps} == {f'{i}.png' for i in range(10)}
    assert cv2.imread(str(maps[0]), cv2.IMREAD_UNCHANGED).max() < len(CLASSES)
    assert len(list((tmp_path / 'painted').rglob('*.png'))) == 10


def test_full_resolution_predicts_the_same(
    tiny, trained, tmp_path, monkeypatch
):
    maps, added, build = [], [], cli.build_runner

    def note(cfg, verbose):
        added.append(cfg.get('custom_hooks'))
        return build(cfg, verbose)

    monkeypatch.setattr(cli, 'build_runner', note)
    for options in ([], ['--full-resolution']):
        folder = tmp_path / f'{len(options)}'
        run.here(
            monkeypatch, 'test.py', tiny, trained / 'iter_4.pth', *options,
            '--work-dir', folder / 'work', '--out', folder / 'maps',
        )  # fmt: skip
        assert ('HeadResolutionHook' in str(added[-1])) == (not options)
        maps.append(
            [cv2.imread(str(folder / f'maps/{i}.png'), -1) for i in range(10)]
        )
    assert all((a == b).all() for a, b in zip(*maps))


def test_test_time_augmentation(trained, tmp_path, monkeypatch):
    (config,) = trained.glob('*.py')
    run.here(
        monkeypatch, 'test.py', config, trained / 'iter_4.pth', '--tta',
        '--work-dir', tmp_path,
    )  # fmt: skip
    assert 'SegTTAModel' in logged(tmp_path)
    assert 'mIoU' in logged(tmp_path)


def test_painting_needs_the_hook(tiny, trained, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match='add visualization=dict'):
        run.here(
            monkeypatch, 'test.py', tiny, trained / 'iter_4.pth',
            '--show-dir', tmp_path,
            '--cfg-options', 'default_hooks.visualization=None',
        )  # fmt: skip
