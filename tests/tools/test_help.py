"""``--help`` of every tool, which loads nothing that takes seconds."""

import re

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
    shown = run.python('-c', HELP, run.ROOT / 'tools' / tool, cwd=tmp_path)
    assert shown.startswith('usage: ')
    assert shown.splitlines()[-1] == 'loaded: []'
    if tool == 'train.py':
        named = set(re.findall(r'\w+Loss\b', shown))
        assert 'JaccardMetricCELoss' in named <= {*own_losses()}
