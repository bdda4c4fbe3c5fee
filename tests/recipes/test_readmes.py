"""The commands in the READMEs of the recipes start what they say."""

import re
import runpy
import shlex
import subprocess
import sys

import pytest

from tests.tools.run import ROOT

from . import catalog

TEXTS = {x: (catalog.CONFIGS / x / 'README.md') for x in catalog.FOLDERS}
COMMANDS = [
    (folder, line)
    for folder, page in TEXTS.items()
    for block in re.findall(r'(?s)```shell\n(.*?)```', page.read_text())
    for line in block.splitlines()
    if '/dist_' in line
]
# Says what it was asked to start, one word a line.
TORCHRUN = '#!/bin/sh\nprintf "%s\\n" "$@"\n'


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """Makes a clone in which nothing starts, and goes there."""
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / 'torchrun').write_text(TORCHRUN)
    (tmp_path / 'torchrun').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(('folder', 'command'), COMMANDS)
def test_command(folder, command, clone, monkeypatch):
    words = ['env', *shlex.split(command)]
    for word in words:
        if word.startswith('work_dirs/'):  # what training leaves
            (clone / word).parent.mkdir(parents=True)
            (clone / word).touch()
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    started = done.stdout.splitlines()
    assert f'--nproc_per_node={words[-1]}' in started
    tool = next(i for i, x in enumerate(started) if x.endswith('.py'))
    monkeypatch.setattr(sys, 'argv', started[tool:])
    monkeypatch.setenv('LOCAL_RANK', '0')
    args = runpy.run_path(started[tool])['parse_args']()
    config = clone / args.config
    assert config.parent.name == folder
    assert config.resolve() in catalog.ALL
    if 'checkpoint' in args:
        length = catalog.config(config.resolve()).train_cfg.max_iters
        expected = f'work_dirs/{config.stem}/iter_{length}.pth'
        assert args.checkpoint == expected


def test_every_folder_has_a_command():
    assert {folder for folder, _ in COMMANDS} == {*catalog.FOLDERS}
