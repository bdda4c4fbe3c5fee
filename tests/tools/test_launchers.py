"""The shell scripts, and mmseg's own tools without any edit."""

from __future__ import annotations

import socket

import pytest

from tests.zoo.catalog import CONFIGS
from tests.zoo.stacks import has_operators, stack

from . import run

MMSEG_TRAIN = CONFIGS.parent / 'tools' / 'train.py'
ENTRY = 'model.decode_head.loss_decode.type=mmseg_jml.JaccardMetricLoss'


def free_port() -> str:
    with socket.socket() as sock:
        sock.bind(('', 0))
        return str(sock.getsockname()[1])


def test_two_processes_train_and_test(tiny, tmp_path):
    train = run.apart(
        run.ROOT / 'tools/dist_train.sh', tiny, 2,
        '--loss', 'JaccardMetricLoss', '--work-dir', tmp_path / 'two',
        '--cfg-options', 'model.decode_head.loss_decode.sync=True',
        cwd=tmp_path, PORT=free_port(),
    )  # fmt: skip
    assert train.returncode == 0, train.stderr
    assert 'Distributed training is not used' not in train.stderr
    assert len(run.losses(tmp_path / 'two')) == 4

    checkpoint = tmp_path / 'two/iter_4.pth'
    test = run.apart(
        run.ROOT / 'tools/dist_test.sh', tiny, checkpoint, 2,
        '--work-dir', tmp_path / 'test', cwd=tmp_path, PORT=free_port(),
    )  # fmt: skip
    assert test.returncode == 0, test.stderr
    (log,) = (tmp_path / 'test').glob('*/*.log')
    # Two processes, each with five of the ten images.
    assert 'Epoch(test) [5/5]' in log.read_text()


@pytest.mark.parametrize(
    ('script', 'words'),
    [
        ('dist_train.sh', ['a.py']),
        ('dist_test.sh', ['a.py', 'a.pth']),
        ('slurm_train.sh', ['part', 'job']),
        ('slurm_test.sh', ['part', 'job', 'a.py']),
    ],
)
def test_missing_argument_shows_the_usage(script, words, tmp_path):
    result = run.apart(run.ROOT / 'tools' / script, *words, cwd=tmp_path)
    assert result.returncode == 2
    usage = result.stderr
    assert usage.startswith('usage: ')
    assert f'{script} ' in usage
    asked = run.apart(run.ROOT / 'tools' / script, '--help', cwd=tmp_path)
    assert (asked.returncode, asked.stdout) == (0, usage)


@pytest.mark.parametrize(
    ('tool', 'positional'),
    [('train', ['a b.py']), ('test', ['a b.py', 'a.pth'])],
)
def test_slurm_job(tool, positional, tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > words\n')
    srun.chmod(0o755)
    result = run.apart(
        run.ROOT / f'tools/slurm_{tool}.sh', 'part', 'job', *positional,
        '--cfg-options', 'a=[1, 2]',
        cwd=tmp_path, PATH=f'{tmp_path}:/usr/bin:/bin',
        GPUS='16', GPUS_PER_NODE='8', SRUN_ARGS='--time=1 --mem=2',
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'words').read_text().splitlines() == [
        '--partition=part', '--job-name=job', '--gres=gpu:8', '--ntasks=16',
        '--ntasks-per-node=8', '--cpus-per-task=5', '--kill-on-bad-exit=1',
        '--time=1', '--mem=2', 'python', '-u',
        str(run.ROOT / f'tools/{tool}.py'), *positional,
        '--launcher', 'slurm', '--cfg-options', 'a=[1, 2]',
    ]  # fmt: skip


needs_import = stack() == 'openmmlab' and not has_operators()


def test_own_tool_of_mmseg(tiny, tmp_path):
    result = run.apart(
        'python', MMSEG_TRAIN, tiny, '--work-dir', tmp_path,
        '--cfg-options', ENTRY, cwd=tmp_path,
    )  # fmt: skip
    if needs_import:  # mmseg itself does not import beside mmcv-lite
        assert result.returncode != 0
        assert "No module named 'mmcv._ext'" in result.stderr
        return
    assert result.returncode == 0, result.stderr
    assert all('decode.loss_jml' in step for step in run.losses(tmp_path))
