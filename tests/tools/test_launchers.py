"""The shell scripts, and mmseg's own tools without any edit."""

import socket

import pytest

from . import run

ENTRY = 'model.decode_head.loss_decode'


def start(script: str, *words, **changes):
    return run.apart(run.ROOT / 'tools' / script, *words, **changes)


def start_two(script: str, *words) -> str:
    """Starts two processes, which have to succeed; returns their errors."""
    with socket.socket() as sock:
        sock.bind(('', 0))
        port = str(sock.getsockname()[1])
    done = start(script, *words, PORT=port)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_two_processes_train_and_test(tiny, tmp_path):
    loss = '--loss', 'JaccardMetricLoss', '--work-dir', tmp_path / 'two'
    sync = '--cfg-options', f'{ENTRY}.sync=True'
    told = start_two('dist_train.sh', tiny, 2, *loss, *sync)
    assert 'Distributed training is not used' not in told
    assert len(run.losses(tmp_path / 'two')) == 4

    out = '--work-dir', tmp_path / 'test'
    start_two('dist_test.sh', tiny, tmp_path / 'two/iter_4.pth', 2, *out)
    # Two processes, each with five of the ten images.
    assert 'Epoch(test) [5/5]' in run.log_of(tmp_path / 'test')


@pytest.mark.parametrize(
    ('script', 'words'),
    [
        ('dist_train.sh', ['a.py']),
        ('dist_test.sh', ['a.py', 'a.pth']),
        ('slurm_train.sh', ['part', 'job']),
        ('slurm_test.sh', ['part', 'job', 'a.py']),
    ],
)
def test_missing_argument_shows_the_usage(script, words):
    result = start(script, *words)
    assert result.returncode == 2
    usage = result.stderr
    assert usage.startswith('usage: ')
    assert f'{script} ' in usage
    asked = start(script, '--help')
    assert (asked.returncode, asked.stdout) == (0, usage)


@pytest.mark.parametrize(
    ('tool', 'positional'),
    [('train', ['a b.py']), ('test', ['a b.py', 'a.pth'])],
)
def test_slurm_job(tool, positional, tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > words\n')
    srun.chmod(0o755)
    options = '--cfg-options', 'a=[1, 2]'
    result = start(
        *(f'slurm_{tool}.sh', 'part', 'job', *positional, *options),
        **dict(cwd=tmp_path, PATH=f'{tmp_path}:/usr/bin:/bin'),
        **dict(GPUS='16', GPUS_PER_NODE='8', SRUN_ARGS='--time=1 --mem=2'),
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'words').read_text().splitlines() == [
        '--partition=part', '--job-name=job', '--gres=gpu:8', '--ntasks=16',
        '--ntasks-per-node=8', '--cpus-per-task=5', '--kill-on-bad-exit=1',
        '--time=1', '--mem=2', 'python', '-u',
        str(run.ROOT / f'tools/{tool}.py'), *positional,
        '--launcher', 'slurm', *options,
    ]  # fmt: skip
