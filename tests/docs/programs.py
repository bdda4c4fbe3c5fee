"""How the programs on the pages take the arguments that they are given.

Each function gets the words behind the name of a program, in a clone with
files that have the names of placeholders, and fails where it would not start.
"""

import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

from tests.zoo.catalog import CONFIGS

from .pages import ROOT

MAKEFILE = (ROOT / 'Makefile').read_text()
# Placeholders that are numbers.
NUMBERS = {'N': '1', 'S': '1'}


def dry_run(*words):
    """The lines that make would run where the environments are ready."""
    options = ['-n', '-C', ROOT, '--no-print-directory']
    for ready in ('openmmlab/ready', 'onedl/ready', 'torchvision'):
        options += ['-o', f'.venv/{ready}']
    # without the variables of a make that runs the tests
    environment = dict(PATH=os.environ['PATH'])
    command = ['make', *options, *words]
    shown = subprocess.check_output(command, env=environment, text=True)
    return re.sub(r'\\\n\s*', '', shown).splitlines()


def python(words, program, monkeypatch):
    if words[0] == '-m':
        return module(words[1:], monkeypatch)
    words = [word.strip('[]') for word in words]
    words = [NUMBERS.get(word, word) for word in words if word != '...']
    path = words[0].replace('MMSEG', str(CONFIGS.parent))
    rest = ['CONFIG' if '/...' in word else word for word in words[1:]]
    monkeypatch.setattr(sys, 'argv', [path, *rest])
    # as for a script
    monkeypatch.syspath_prepend(Path(path).parent)
    assert runpy.run_path(path)['parse_args']()
    return None


def module(words, monkeypatch):
    if words[0] == 'pytest':
        assert all(Path(word).exists() for word in words[1:])
        return
    name = words[0]
    if name == 'mmseg_jml':
        assert (ROOT / f'tools/{words[1]}.py').is_file()
        return
    if (ROOT / name).is_dir():
        name = f'{name}.__main__'
    program = importlib.import_module(name)
    monkeypatch.setattr(sys, 'argv', words)
    assert program.parse_arguments()


def make(words, program, monkeypatch):
    """Its recipe calls tools as they want to be called."""
    assert re.search(rf'^{words[0]}:.*## ', MAKEFILE, re.MULTILINE)
    lines = dry_run(*words)
    assert lines or words == ['setup']
    for line in lines:
        called = re.search(r'bin/python (-m demo .*)', line)
        if called:
            python(shlex.split(called[1]), program, monkeypatch)
    for word in words[1:]:
        name, _, value = word.partition('=')
        assert f'--{name.lower()} {value}' in lines[-1]


def pip(words, program, monkeypatch):
    assert words[0] == 'install'
    if words[1] == 'git+REPOSITORY':
        return
    project = (ROOT / 'pyproject.toml').read_text()
    extras = re.findall(r'\[(\w+)\]', words[-1])
    for extra in extras:
        assert re.search(rf'^{extra} = \[', project, re.MULTILINE)
    assert extras or words[-1] == '.' or f"'{words[-1]}'" in project


def mim(words, program, monkeypatch):
    """mim hands to the tool what it does not know itself."""
    tool, package, *rest = words
    assert package == 'mmseg_jml'
    for own in ('--gpus', '--checkpoint'):
        if own in rest:
            place = rest.index(own)
            value = rest[place + 1]
            rest[place : place + 2] = [value] * (own == '--checkpoint')
    path = ROOT / f'mmseg_jml/.mim/tools/{tool}.py'
    python([str(path), *rest], program, monkeypatch)


def launcher(words, program, monkeypatch):
    """It takes as many positional arguments, and a config that exists."""
    usage = re.search(r'usage: \$0 (.*) \[options', Path(program).read_text())
    names = usage[1].split()
    assert len(words) == len(names)
    assert Path(words[names.index('CONFIG')]).is_file()


PROGRAMS = dict(
    python=python, make=make, pip=pip, mim=mim, dist=launcher, slurm=launcher
)
