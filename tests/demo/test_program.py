"""The demos from end to end, on few scenes and iterations."""

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
from tests.tolerances import TWO_DECIMALS
from tests.tools.run import ROOT, apart, losses, search_path

DEMO = (sys.executable, '-m', 'demo')
SHORT = ('--seeds', '1', '--iters', '20')
NAMES = {
    'jml': ['CE', 'CE + JML', 'CE + JML, neighbours'],
    'kd': ['teacher', 'student', 'student + KL', 'student + JML'],
    'semi': ['labels alone']
    + ['mean teacher, CE', 'hard, CE + JML', 'soft, CE + JML'],
}
TERMS = {
    'student-kl': 'decode.loss_kd_kl',
    'student-jml': 'decode.loss_kd_jml_ce',
    'mean-teacher-ce': 'decode.loss_pseudo_jml_ce',
    'soft-ce-jml': 'decode.loss_pseudo_jml_ce',
}


@pytest.mark.parametrize('demo', NAMES)
def test_each_demo_ends_with_a_table(demo, home):
    """Of what mmseg found, and a picture; teachers are in the log."""
    options = *SHORT, '--work-dir', 'out', '--jobs', '2'
    done = apart(*DEMO, demo, *options, cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((home / f'out/{demo}.json').read_text())
    assert list(found) == NAMES[demo]
    row = re.findall(r'│ mIoU +│.*', done.stdout)[-1]
    for name, (scores,) in found.items():
        miou = f'{scores["mIoU"]:.1f}'
        assert miou in row
        assert f'{name}, seed 0: mIoU {miou}' in done.stdout
        ious = [scores[name] for name in ('background', *'0123456789')]
        # both are rounded
        error = 2 * TWO_DECIMALS
        assert np.nanmean(ious) == pytest.approx(scores['mIoU'], abs=error)

    pixels = np.array(Image.open(home / f'out/{demo}-1.png'))
    assert min(pixels.shape[:2]) > 300
    assert pixels[..., :3].std() > 10

    for path in (home / 'out').glob('*-seed0'):
        logged = {key for step in losses(path) for key in step}
        name = path.name.rsplit('-', 2)[0]
        assert TERMS.get(name, 'loss') in logged


@pytest.mark.parametrize('demo', ['kd', 'semi'])
def test_only_what_is_compared_differs(demo):
    runs = sum(getattr(experiments, demo)(1, 20, ROOT / 'out'), [])
    shared = [run.cfg.to_dict() for run in runs]
    for cfg in shared:
        assert cfg.pop('custom_hooks')[:2] == runs[0].cfg.custom_hooks[:2]
    start = demo == 'kd'  # the teacher is wider
    assert all(cfg == shared[-1] for cfg in shared[start:])


def test_a_killed_demo_goes_on_and_repeats_nothing(home):
    """Killed in its second run: the first is kept, the second resumed."""
    words = *DEMO, 'jml', *SHORT, '--work-dir', 'killed', '--jobs', '1'
    demo = subprocess.Popen(
        words,
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
    done = apart(*words, cwd=home)
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
