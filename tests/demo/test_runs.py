"""Runs, their records and their processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_jml.demo.runs import Run, RunError, shorten, sole_owner, train_all

CE = (
    Path(__file__).parents[2]
    / 'configs/demo/fpn_r18-16_1xb16-1400_digit-scenes-64x64.py'
)


def record(work_dir, start, *lines):
    path = work_dir / start / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(map(json.dumps, lines)) + '\n{"loss": 0.')


def test_planning_writes_the_config(tmp_path):
    run = Run.plan(CE, 'CE + JML', seed=2, iters=70, folder=tmp_path)
    assert run.config == tmp_path / 'configs/ce-jml_seed2.py'
    cfg, base = Config.fromfile(run.config), Config.fromfile(CE)
    assert cfg.randomness.seed == 2
    assert cfg.work_dir == str(run.work_dir) == str(tmp_path / 'ce-jml_seed2')
    assert cfg.model == base.model
    assert run == Run.plan(CE, 'CE + JML', seed=2, iters=70, folder=tmp_path)


def test_a_run_of_another_config_is_not_continued(tmp_path):
    run = Run.plan(CE, 'CE', seed=0, iters=70, folder=tmp_path)
    run.config.write_text(run.config.read_text().replace('0.015', '0.01'))
    with pytest.raises(RunError, match='another version of it.*--work-dir'):
        Run.plan(CE, 'CE', seed=0, iters=70, folder=tmp_path)


def test_the_whole_schedule_is_the_config_as_it_stands():
    cfg = Config.fromfile(CE)
    shorten(cfg, 1400)
    assert cfg.to_dict() == Config.fromfile(CE).to_dict()


def test_a_shortened_schedule_keeps_its_shape():
    cfg = Config.fromfile(CE)
    shorten(cfg, 70)
    warm_up, decay = cfg.param_scheduler
    assert (warm_up.end, decay.begin, decay.end) == (7, 7, 70)
    assert cfg.train_cfg.max_iters == 70
    assert cfg.train_cfg.val_interval == 10
    assert cfg.default_hooks.checkpoint.interval == 10


def test_records_of_interrupted_parts_are_joined(tmp_path):
    """Steps that were done twice count once, as they were done last."""
    run = Run('CE', 0, 30, tmp_path / 'config.py', tmp_path)
    steps = [dict(loss=9 - s, step=s) for s in (10, 20, 30)]
    record(tmp_path, '20260101_000000', *steps[:2], dict(mIoU=1, step=20))
    record(tmp_path, '20260101_000100', dict(loss=5, step=20), steps[2])
    assert run.scalars() == [
        dict(loss=-1, step=10),
        dict(loss=5, step=20),
        dict(mIoU=1, step=20),
        dict(loss=-21, step=30),
    ]


def test_a_run_is_finished_when_its_last_checkpoint_is_recorded(tmp_path):
    run = Run('CE', 0, 30, tmp_path / 'config.py', tmp_path)
    assert not run.is_finished()
    run.checkpoint.write_bytes(b'half of it')
    assert not run.is_finished()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_20.pth'))
    assert not run.is_finished()
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_30.pth'))
    assert run.is_finished()


def test_a_folder_is_held_by_the_trainings_of_a_dead_demo(tmp_path):
    waited = []
    with sole_owner(tmp_path, waited.append) as lock:
        child = subprocess.Popen(
            [sys.executable, '-c', 'import sys; sys.stdin.read()'],
            stdin=subprocess.PIPE,
            pass_fds=[lock.fileno()],
        )
    with child:
        with sole_owner(tmp_path, lambda: waited.append(child.kill())):
            assert child.wait() != 0
        assert waited == [None]
    with sole_owner(tmp_path, waited.append):
        assert waited == [None]


def test_a_failing_training_stops_the_others_and_shows_its_log(tmp_path):
    """One config is broken; the other would run for hours."""
    runs = []
    for name, text in (
        ('broken', 'raise RuntimeError("no such thing")'),
        ('endless', '__import__("time").sleep(1e4)'),
    ):
        (tmp_path / f'{name}.py').write_text(text)
        runs.append(Run(name, 0, 30, tmp_path / f'{name}.py', tmp_path / name))
    with sole_owner(tmp_path, lambda: None) as lock:
        with pytest.raises(RunError, match='(?s)broken.*no such thing'):
            train_all(runs, 2, lock)
    with sole_owner(tmp_path, lambda: pytest.fail('a training lives on')):
        pass
