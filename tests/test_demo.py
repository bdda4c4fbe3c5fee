"""The demo from end to end, on few scenes and few iterations."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_jml.datasets import write_digit_scenes
from mmseg_jml.datasets.digit_composer import digit_samples
from tests.tools.run import ROOT, apart, here, losses, search_path

DEMO = (sys.executable, ROOT / 'tools/demo.py')
SHORT = ('--seeds', '1', '--iters', '21', '--work-dir', 'out')
RUNS = ('ce_seed0', 'ce-jml_seed0', 'ce-jml-bls_seed0')


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A folder to start from, with few scenes."""
    home = tmp_path_factory.mktemp('demo')
    write_digit_scenes(
        home / 'data/digit_scenes', {'training': 40, 'validation': 10}
    )
    return home


@pytest.fixture(scope='module')
def finished(home):
    """A demo that was killed in its second run and started again.

    Returns what it printed, its folder, and when the first run ended.
    """
    folder = home / 'out/21_iterations'
    first, second = folder / RUNS[0], folder / RUNS[1]
    demo = subprocess.Popen(
        [*map(str, DEMO), *SHORT, '--jobs', '1'],
        cwd=home,
        env={**os.environ, 'PYTHONPATH': search_path(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not (second / 'last_checkpoint').exists():
            assert demo.poll() is None, (first / 'train.log').read_text()
            time.sleep(0.01)
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait()
    assert not (second / 'iter_21.pth').exists()
    ended = (first / 'iter_21.pth').stat().st_mtime_ns
    done = apart(*DEMO, *SHORT, cwd=home)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder, ended


def test_prints_a_table_and_where_the_files_are(finished):
    printed, folder, _ = finished
    rows = {
        line.split('│')[1].strip()
        for line in printed.split('\n')
        if line.startswith('│')
    }
    assert {'background', 'zero', 'nine', 'mIoU'} <= rows
    assert 'CE + JML + BLS' in printed
    assert {'mIoU of an image', 'calibration error (ECE)'} <= rows
    names = ('scores.csv', 'curves.csv', 'predictions.png', 'curves.png')
    for name in (*names, 'reliability.png'):
        assert f'out/21_iterations/{name}' in printed
        assert (folder / name).stat().st_size > 0


def test_scores_are_what_mmseg_logged(finished):
    _, folder, _ = finished
    with (folder / 'scores.csv').open() as file:
        lines = list(csv.DictReader(file))
    assert [line['loss'] for line in lines] == [
        *('CE', 'CE + JML', 'CE + JML + BLS')
    ]
    for line, name in zip(lines, RUNS):
        log = (folder / name / 'train.log').read_text()
        logged = float(re.findall(r' mIoU: ([\d.]+)', log)[-1])
        assert float(line['mIoU']) == pytest.approx(logged, abs=0.011)
        assert float(line['mIoUD']) == pytest.approx(logged, abs=0.011)


def test_runs_of_one_seed_start_alike_and_learn_differently(finished):
    _, folder, _ = finished
    weights = [
        torch.load(folder / name / 'iter_21.pth', weights_only=False)
        for name in RUNS
    ]
    firsts = [losses(folder / name)[0] for name in RUNS]
    assert firsts[0]['decode.loss_ce'] != firsts[1]['decode.loss_jml_ce']
    key = 'decode_head.conv_seg.weight'
    values = [checkpoint['state_dict'][key] for checkpoint in weights]
    assert not torch.equal(values[0], values[1])
    assert not torch.equal(values[1], values[2])


def test_the_picture_shows_the_images(finished, home):
    """Each scene's colours are in the column where it is drawn."""
    _, folder, _ = finished
    picture = np.array(
        Image.open(folder / 'predictions.png').convert('RGB')
    ).reshape(-1, 3)
    shown = {tuple(colour) for colour in picture.tolist()}
    for index in range(8):
        scene = home / f'data/digit_scenes/images/validation/{index:04}.png'
        colours = np.array(Image.open(scene)).reshape(-1, 3).tolist()
        found = sum(tuple(colour) in shown for colour in colours)
        assert found > 0.9 * len(colours)


def test_a_finished_run_is_not_done_again(finished):
    _, folder, ended = finished
    assert (folder / RUNS[0] / 'iter_21.pth').stat().st_mtime_ns == ended


def test_a_killed_run_goes_on_to_the_weights_of_the_unbroken_run(
    finished, home
):
    _, folder, _ = finished
    assert 'resumed' in (folder / RUNS[1] / 'train.log').read_text()
    train = (sys.executable, ROOT / 'tools/train.py')
    config = folder / f'configs/{RUNS[1]}.py'
    done = apart(*train, config, '--work-dir', 'unbroken', cwd=home)
    assert done.returncode == 0, done.stderr
    state, expected = (
        torch.load(root / 'iter_21.pth', weights_only=False)['state_dict']
        for root in (folder / RUNS[1], home / 'unbroken')
    )
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(state[key], value), key


@pytest.mark.parametrize(
    ('option', 'value', 'least'),
    [('--iters', '5', 20), ('--iters', 'many', 20), ('--seeds', '0', 1)],
)
def test_wrong_numbers_are_refused(
    tmp_path, monkeypatch, capsys, option, value, least
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match='2'):
        here(monkeypatch, 'demo.py', option, value)
    told = capsys.readouterr().err
    assert f'{option}: expected an integer of at least {least}' in told
    assert repr(value) in told
    assert not list(tmp_path.iterdir())


def test_a_missing_scikit_learn_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('sklearn', 'sklearn.datasets'):
        monkeypatch.setitem(sys.modules, name, None)
    digit_samples.cache_clear()  # of the tests before
    with pytest.raises(SystemExit, match='pip install scikit-learn'):
        here(monkeypatch, 'demo.py', *SHORT)
