"""Ways to run a tool."""

from __future__ import annotations

import copy
import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

ROOT = Path(__file__).parents[2]


def tool(name: str, *arguments) -> None:
    """Runs ``tools/NAME`` in this process; texts are split into words."""
    words = [str(ROOT / 'tools' / name)]
    for argument in arguments:
        is_text = isinstance(argument, str)
        words += argument.split() if is_text else [str(argument)]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, 'argv', words)
        # what the tool sets ends with it
        monkeypatch.setenv('LOCAL_RANK', '0')
        monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
        runpy.run_path(words[0], run_name='__main__')


def search_path(*folders) -> str:
    """Puts folders in front of what this Python was told to search."""
    inherited = os.environ.get('PYTHONPATH')
    return os.pathsep.join(map(str, filter(None, (*folders, inherited))))


def apart(*command, cwd=ROOT, **changes) -> subprocess.CompletedProcess:
    """Runs a command in a process of its own, with this Python first."""
    environment = {
        **os.environ,
        'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
        'PYTHONPATH': search_path(ROOT),
        'OMP_NUM_THREADS': '1',
        **changes,
    }
    environment.pop('LOCAL_RANK', None)
    words = [str(word) for word in command]
    options = dict(capture_output=True, text=True, timeout=300)
    return subprocess.run(words, cwd=cwd, env=environment, **options)


def python(*words, cwd=ROOT, **changes) -> str:
    """Runs Python apart, which has to succeed; returns what it printed."""
    done = apart(sys.executable, *words, cwd=cwd, **changes)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Cuts a file off and dies, where it would give it its name.
DIE = """
import os, runpy, signal, sys

count, sys.argv = int(sys.argv[1]), sys.argv[2:]
replace = os.replace

def replace_or_die(source, target):
    global count
    count -= 1
    if not count:
        os.truncate(source, os.path.getsize(source) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = replace_or_die
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def killed(count: int, tool: str, *arguments, cwd) -> None:
    """Kills a converter within its file number ``count``, counted from 1."""
    words = [sys.executable, '-c', DIE, count, ROOT / 'tools' / tool]
    result = apart(*words, *arguments, cwd=cwd)
    assert result.returncode == -signal.SIGKILL, result.stderr


def train_until_killed(cfg: Config, step: int, *options: str) -> None:
    """Trains with ``tools/train.py``, and kills it before a step."""
    cfg = copy.deepcopy(cfg)
    cfg.custom_hooks.append(dict(type='KillHook', step=step))
    path = f'{cfg.work_dir}.py'
    cfg.dump(path)
    result = apart(sys.executable, 'tools/train.py', path, *options)
    assert result.returncode == -signal.SIGKILL, result.stderr


def losses(work_dir: Path) -> list[dict]:
    """Returns the logged training steps of all runs in a work dir."""
    lines = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        lines += map(json.loads, path.read_text().splitlines())
    return [line for line in lines if 'loss' in line]


def log_of(work_dir: Path) -> str:
    """Returns the log of the only run in a work dir."""
    (log,) = work_dir.glob('*/*.log')
    return log.read_text()


def trained_config(work_dir: Path) -> Config:
    """Returns the config that the run wrote down."""
    (path,) = work_dir.glob('*.py')
    return Config.fromfile(path)
