"""The demos from end to end, on few scenes and iterations."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from demo import experiments
from demo.__main__ import parse_arguments
from tests.tools.run import ROOT, apart, losses, search_path

DEMO = (sys.executable, '-m', 'demo')
SHORT = ('--seeds', '1', '--iters', '20', '--work-dir', 'out')
NAMES = {
    'jml': ['CE', 'CE + JML', 'CE + JML, neighbours'],
    'kd': ['teacher', 'student', 'student + KL', 'student + JML'],
    'semi': [
        'labels alone',
        'mean teacher, CE',
        'hard, CE + JML',
        'soft, CE + JML',
    ],
}
TERMS = {
    'student-kl': 'decode.loss_kd_kl',
    'student-jml': 'decode.loss_kd_jml_ce',
    'mean-teacher-ce': 'decode.loss_pseudo_jml_ce',
    'soft-ce-jml': 'decode.loss_pseudo_jml_ce',
}


def folder_of(home, name):
    (found,) = (home / 'out').glob(f'{name}-*-seed0')
    return found


@pytest.fixture(scope='module', params=list(NAMES))
def finished(request, home):
    done = apart(*DEMO, request.param, *SHORT, '--jobs', '2', cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    return request.param, done.stdout, home


def read_scores(home, demo):
    found = json.loads((home / f'out/{demo}.json').read_text())
    return {name: seeds[0] for name, seeds in found.items()}


def test_each_demo_ends_with_a_table(finished):
    demo, printed, home = finished
    found = read_scores(home, demo)
    assert list(found) == NAMES[demo]
    row = re.findall(r'│ mIoU +│.*', printed)[-1]
    for name, scores in found.items():
        miou = f'{scores["mIoU"]:.1f}'
        assert miou in row
        assert f'{name}, seed 0: mIoU {miou}' in printed


def test_class_ious_are_those_that_mmseg_found(finished):
    demo, _, home = finished
    for scores in read_scores(home, demo).values():
        ious = [scores[name] for name in ('background', *'0123456789')]
        assert np.nanmean(ious) == pytest.approx(scores['mIoU'], abs=0.01)


def test_the_picture_is_drawn(finished):
    demo, _, home = finished
    pixels = np.array(Image.open(home / f'out/{demo}-1.png'))
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 10


def test_teachers_are_in_the_log(finished):
    demo, _, home = finished
    for path in (home / 'out').glob('*-seed0'):
        logged = {key for step in losses(path) for key in step}
        term = TERMS.get(path.name.rsplit('-', 2)[0])
        if term:
            assert term in logged


def test_only_what_is_compared_differs():
    root = ROOT / 'out'
    for demo in ('kd', 'semi'):
        runs = sum(getattr(experiments, demo)(1, 20, root), [])
        shared = []
        for run in runs:
            cfg = run.cfg.to_dict()
            assert cfg.pop('custom_hooks')[:2] == runs[0].cfg.custom_hooks[:2]
            shared.append(cfg)
        start = demo == 'kd'  # the teacher is wider
        assert all(cfg == shared[-1] for cfg in shared[start:])


def test_a_killed_demo_goes_on_and_repeats_nothing(home):
    """Killed in its second run: the first is kept, the second resumed."""
    words = ('jml', *SHORT[:-1], 'killed', '--jobs', '1')
    demo = subprocess.Popen(
        [*DEMO, *words],
        cwd=home,
        env={**os.environ, 'PYTHONPATH': search_path(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not list((home / 'killed').glob('ce-jml-*/last_checkpoint')):
            assert demo.poll() is None
            time.sleep(0.01)
    finally:
        os.killpg(demo.pid, signal.SIGKILL)
        demo.wait()
    (first,) = (home / 'killed').glob('ce-[!j]*')
    (second,) = (home / 'killed').glob('ce-jml-*')
    assert not (second / 'figures.json').exists()
    ended = (first / 'figures.json').stat().st_mtime_ns
    done = apart(*DEMO, *words, cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (first / 'figures.json').stat().st_mtime_ns == ended
    assert len(list(first.glob('*/*.log'))) == 1
    logs = sorted(second.glob('*/*.log'))
    assert 'resumed' in logs[-1].read_text()


@pytest.mark.parametrize(
    ('option', 'value'), [('--iters', 'many'), ('--seeds', '0')]
)
def test_wrong_numbers_are_refused(monkeypatch, capsys, option, value):
    monkeypatch.setattr(sys, 'argv', ['demo', 'jml', option, value])
    with pytest.raises(SystemExit, match='2'):
        parse_arguments()
    told = capsys.readouterr().err
    assert f'{option}: expected an integer of at least 1 but got' in told
