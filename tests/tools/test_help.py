"""``--help`` of every tool, which loads nothing that takes seconds."""

from __future__ import annotations

import sys

import pytest

from mmseg_jml.config import own_losses

from . import run

HELP = """
import runpy, sys
tool = sys.argv[1]
sys.argv = [tool, '--help']
try:
    runpy.run_path(tool, run_name='__main__')
finally:
    slow = {'torch', 'mmcv', 'mmseg', 'matplotlib'} & set(sys.modules)
    print('loaded:', sorted(slow))
"""
TOOLS = sorted(
    path.relative_to(run.ROOT / 'tools').as_posix()
    for path in (run.ROOT / 'tools').rglob('*.py')
)


@pytest.mark.parametrize('tool', TOOLS)
def test_help_loads_nothing_slow(tool, tmp_path):
    words = [sys.executable, '-c', HELP, run.ROOT / 'tools' / tool]
    done = run.apart(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('usage: ')
    assert done.stdout.splitlines()[-1] == 'loaded: []'
    if tool == 'train.py':
        assert all(name in done.stdout for name in own_losses())
