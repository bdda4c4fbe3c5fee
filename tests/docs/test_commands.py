"""Each command on a page names what exists, and something runs it."""

import ast
import re
import shlex
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from mmseg_jml import cli
from tests.recipes.test_readmes import COMMANDS as RECIPES
from tests.tools import run
from tests.zoo.catalog import CONFIGS

from .commands import CI, RUN_BY
from .pages import ROOT, commands
from .programs import MAKEFILE, PROGRAMS, dry_run

SHOWN = commands()
LISTED = [command for part in RUN_BY.values() for command in part]
# Their own test runs those in the READMEs of recipes.
OF_RECIPES = {command for _, command in RECIPES}


def test_something_runs_every_command():
    assert len(set(LISTED)) == len(LISTED)
    assert set(SHOWN) - OF_RECIPES - set(LISTED) == set()
    assert set(LISTED) - set(SHOWN) == set()


@pytest.mark.parametrize('name', sorted({*RUN_BY} - {CI}))
def test_what_runs_them_exists(name):
    file, _, function = name.partition('::')
    tree = ast.parse((ROOT / file).read_text())
    tests = {x.name for x in tree.body if isinstance(x, ast.FunctionDef)}
    assert function in tests


def test_continuous_integration_checks_both_stacks_and_the_site():
    assert 'exec make check' in (ROOT / CI).read_text()
    assert 'EXTRAS ?= test,triton,lint,docs\n' in MAKEFILE
    assert "pip install -e '.[$*,$(EXTRAS)]'" in MAKEFILE
    ran = '\n'.join(dry_run('check'))
    assert 'ruff check .' in ran
    assert 'ruff format --check .' in ran
    assert 'python -m sphinx -W' in ran
    for stack in ('openmmlab', 'onedl'):
        assert f'.venv/{stack}/bin/python -m pytest' in ran


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Makes a clone with files that have the names of placeholders."""
    for name in ('configs', 'tools', 'benchmarks', 'tests'):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ('CONFIG', 'OCRNET', 'CHECKPOINT', 'my_config.py'):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LOCAL_RANK', '0')


@pytest.mark.parametrize('command', sorted(set(SHOWN) - OF_RECIPES))
def test_command_is_what_its_program_takes(command, clone, monkeypatch):
    command = re.sub(r'\[options of (train|test).py\]', '', command)
    if 'benchmarks.spills' in command:
        pytest.importorskip('triton')
    words = shlex.split(command)
    while re.fullmatch(r'[A-Z]+=\S+', words[0]):
        words.pop(0)
    check = PROGRAMS[Path(words[0]).name.partition('_')[0]]
    check(words[1:], words[0], monkeypatch)


def test_make_format(tmp_path):
    """The recipe's lines, with the ruff of this environment."""
    recipe = MAKEFILE.partition('\nformat:')[2].partition('\n\n')[0]
    (tmp_path / 'some.py').write_text('import sys\nimport os\nx = {"a":os}\n')
    ruff = f'{sys.prefix}/bin/ruff'
    if not Path(ruff).exists():
        pytest.skip('ruff is not installed')
    options = '--config', ROOT / 'pyproject.toml'
    for line in recipe.splitlines()[1:]:
        words = line.strip().replace('$(tools_of)/ruff', ruff).split()
        run.apart(*words, *options, cwd=tmp_path)
    assert (tmp_path / 'some.py').read_text() == "import os\n\nx = {'a': os}\n"


def test_one_entry_is_taken_back(monkeypatch):
    """What is trained has the new loss in the second stage alone."""
    (name,) = (x for x in RUN_BY if x.endswith('one_entry_is_taken_back'))
    _, tool, _, *options = shlex.split(RUN_BY[name][0])
    config = next((CONFIGS / 'ocrnet').glob('ocrnet_r101*.py'))
    build = Mock(side_effect=InterruptedError)
    monkeypatch.setattr(cli, 'build_runner', build)
    monkeypatch.setattr(cli, 'check', lambda cfg: None)  # there is no data
    with pytest.raises(InterruptedError):
        run.tool(Path(tool).name, config, *options)
    first, second = build.call_args[0][0].model.decode_head
    assert first.loss_decode.type == 'CrossEntropyLoss'
    assert second.loss_decode.type.endswith('JaccardMetricLoss')
