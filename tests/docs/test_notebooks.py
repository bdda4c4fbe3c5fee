"""The notebooks run from top to bottom, and carry nothing of a machine."""

import json

import pytest

from tests.tools.run import python

from .pages import ROOT

NOTEBOOKS = sorted((ROOT / 'docs/notebooks').glob('*.ipynb'))


def code_of(path):
    cells = json.loads(path.read_text())['cells']
    return [cell for cell in cells if cell['cell_type'] == 'code']


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_was_saved_without_outputs(path):
    for cell in code_of(path):
        assert cell['outputs'] == []
        assert cell['execution_count'] is None


def test_first_steps(tmp_path):
    """As one program, in a folder that holds nothing."""
    (path,) = (path for path in NOTEBOOKS if path.stem == 'first_steps')
    code = '\n'.join(''.join(cell['source']) for cell in code_of(path))
    shown = python('-W', 'ignore', '-c', code, cwd=tmp_path)
    # OneDL adds notices of its own
    lines = [line for line in shown.splitlines() if 'OneDL' not in line]
    first, perfect, best, ce, both = lines
    # a third everywhere, 768, 247 and 9 pixels, smooth=1: by hand, 1 minus the
    # mean of 257 / 854.33, 83.33 / 507 and 4 / 348.33
    assert first == '0.841 torch.Size([1, 3, 32, 32])'
    assert float(perfect) == 0
    # soft Jaccard: 0.84483, by bisection of its derivative
    assert best == "{'soft Jaccard': 0.845, 'Jaccard metric': 0.7}"
    assert ce.startswith('CE ')
    assert both.startswith('CE + JML ')
