"""What is built and installed holds all that a user runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest

import mmseg_jml
from tests.tools.run import ROOT, search_path

PACKAGE = Path(mmseg_jml.__file__).parent


def python(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=dict(os.environ, PYTHONPATH=search_path(cwd)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_below(folder: str) -> set[str]:
    tracked = subprocess.run(
        ['git', 'ls-files', folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(tracked.stdout.split())


@pytest.fixture(scope='module')
def built(tmp_path_factory) -> Path:
    """Builds the sdist, and the wheel from it, of the tracked files."""
    source = tmp_path_factory.mktemp('source')
    for name in files_below('.'):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    python('-m', 'build', '--no-isolation', cwd=source)
    return source / 'dist'


def test_wheel_has_package_configs_and_tools(built):
    (wheel,) = built.glob('*.whl')
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ('configs', 'tools'):
        expected = {f'mmseg_jml/.mim/{x}' for x in files_below(folder)}
        assert expected
        assert expected <= names
    assert files_below('mmseg_jml/*.py') <= names
    assert 'mmseg_jml/py.typed' in names
    assert not {x for x in names if x.startswith(('tests/', 'tools/'))}


def test_sdist_has_all_that_a_checkout_has(built):
    (sdist,) = built.glob('*.tar.gz')
    with tarfile.open(sdist) as archive:
        names = {x.partition('/')[2] for x in archive.getnames()}
    assert {x for x in files_below('.') if x[0] != '.'} <= names


def test_wheel_runs_without_the_checkout(built, tmp_path):
    (wheel,) = built.glob('*.whl')
    zipfile.ZipFile(wheel).extractall(tmp_path)
    tool = tmp_path / 'mmseg_jml/.mim/tools/train.py'
    assert '--loss' in python(str(tool), '--help', cwd=tmp_path)
    path = python(
        '-c', 'import mmseg_jml; print(mmseg_jml.__file__)', cwd=tmp_path
    )
    assert Path(path.splitlines()[-1]).parent == tmp_path / 'mmseg_jml'


def test_editable_install_links_to_the_checkout():
    for name in ('configs', 'tools'):
        link = PACKAGE / '.mim' / name
        assert link.resolve() == ROOT / name
        assert link.resolve().exists()


def test_install_brings_nothing_unasked():
    unasked = [x for x in requires('mmseg_jml') if 'extra ==' not in x]
    assert unasked == []


def test_version_is_the_packages():
    assert metadata('mmseg_jml')['Version'] == mmseg_jml.__version__
    shown = python('setup.py', '--version', cwd=ROOT)
    assert shown.split()[-1] == mmseg_jml.__version__
