"""The notebooks run from top to bottom, and carry nothing of a machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.tools.run import apart

from .pages import ROOT

NOTEBOOKS = sorted((ROOT / 'docs/notebooks').glob('*.ipynb'))


def cells(path, kind: str) -> list[dict]:
    return [
        cell
        for cell in json.loads(path.read_text())['cells']
        if cell['cell_type'] == kind
    ]


def run(path, folder) -> subprocess.CompletedProcess:
    """Runs the code as one program, in a folder that holds nothing."""
    code = '\n'.join(''.join(x['source']) for x in cells(path, 'code'))
    return apart(sys.executable, '-W', 'ignore', '-c', code, cwd=folder)


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_was_saved_without_outputs(path):
    for cell in cells(path, 'code'):
        assert cell['outputs'] == []
        assert cell['execution_count'] is None


def test_first_steps(tmp_path):
    (path,) = (path for path in NOTEBOOKS if path.stem == 'first_steps')
    done = run(path, tmp_path)
    assert done.returncode == 0, done.stderr
    # OneDL adds notices of its own
    lines = done.stdout.splitlines()
    lines = [line for line in lines if 'OneDL' not in line]
    first, perfect, best, ce, both = lines
    # a third everywhere, 768, 247 and 9 pixels, smooth=1: by hand, 1 minus the
    # mean of 257 / 854.33, 83.33 / 507 and 4 / 348.33
    assert first == '0.841 torch.Size([1, 3, 32, 32])'
    assert float(perfect) == 0
    # soft Jaccard: 0.84483, by bisection of its derivative
    assert best == "{'soft Jaccard': 0.845, 'Jaccard metric': 0.7}"
    assert ce.startswith('CE ')
    assert both.startswith('CE + JML ')
