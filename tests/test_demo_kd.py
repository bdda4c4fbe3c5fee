"""The distillation demo from end to end, on few scenes and iterations."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_jml.datasets import write_digit_scenes
from tests.tools.run import ROOT, apart, losses

NAMES = ('teacher', 'student', 'student + KL', 'student + JML')
CONFIGS = ROOT / 'configs/demo_kd'


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    home = tmp_path_factory.mktemp('demo_kd')
    write_digit_scenes(
        home / 'data/digit_scenes', {'training': 40, 'validation': 10}
    )
    shown = apart(
        *(sys.executable, ROOT / 'tools/demo_kd.py', '--seeds', '1'),
        *('--iters', '20', '--work-dir', 'out', '--jobs', '2'),
        cwd=home,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    return shown.stdout, home / 'out/kd_20_iterations'


def test_one_table_of_all_four(finished):
    output, folder = finished
    with (folder / 'scores.csv').open() as file:
        lines = list(csv.DictReader(file))
    assert tuple(line['loss'] for line in lines) == NAMES
    (mean,) = re.findall(r'│ mIoU +│.*', output)
    for line in lines:
        assert f'{float(line["mIoU"]):.1f}' in mean
    assert (folder / 'predictions.png').stat().st_size > 1000


def test_students_learn_from_the_teacher_that_was_trained(finished):
    _, folder = finished
    terms = {
        path.name: {
            key for step in losses(path) for key in step if 'loss_kd' in key
        }
        for path in folder.iterdir()
        if (path / 'last_checkpoint').exists()
    }
    assert terms == {
        'teacher_seed0': set(),
        'student_seed0': set(),
        'student-kl_seed0': {'decode.loss_kd_kl'},
        'student-jml_seed0': {'decode.loss_kd_jml_ce'},
    }
    for name in ('student-kl_seed0', 'student-jml_seed0'):
        hook = Config.fromfile(folder / f'configs/{name}.py').custom_hooks[1]
        teacher = folder / 'teacher_seed0/iter_20.pth'
        assert Path(hook.checkpoint) == teacher.resolve()


def test_students_differ_in_the_teacher_alone():
    first, *others = (
        Config.fromfile(path).to_dict()
        for path in sorted(CONFIGS.glob('*fpn_r18-8_1xb16*'))
    )
    assert len(others) == 2
    for cfg in (first, *others):
        hooks = cfg.pop('custom_hooks')
        cfg.pop('distillation', None)  # a name in the config alone
        assert hooks[0] == dict(type='mmseg_jml.ExactResumeHook')
    assert all(other == first for other in others)
