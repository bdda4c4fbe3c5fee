"""What is built and installed holds all that a user runs."""

import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import mmseg_jml
from tests.tools import run
from tests.tools.run import ROOT

PACKAGE = Path(mmseg_jml.__file__).parent


def python(*words, cwd: Path) -> str:
    return run.python(*words, cwd=cwd, PYTHONPATH=run.search_path(cwd))


def files_below(folder: str) -> set:
    tracked = subprocess.check_output(['git', 'ls-files', folder], cwd=ROOT)
    return set(tracked.decode().split())


@pytest.fixture(scope='module')
def built(tmp_path_factory) -> Path:
    """Builds the sdist, and the wheel from it, of the tracked files."""
    source = tmp_path_factory.mktemp('source')
    for name in files_below('.'):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    python('-m', 'build', '--no-isolation', cwd=source)
    return source / 'dist'


@pytest.fixture(scope='module')
def wheel(built):
    (path,) = built.glob('*.whl')
    return zipfile.ZipFile(path)


@pytest.fixture(scope='module')
def sdist(built):
    (path,) = built.glob('*.tar.gz')
    return path


def test_wheel_has_package_configs_and_tools(wheel):
    names = set(wheel.namelist())
    for folder in ('configs', 'tools'):
        expected = {f'mmseg_jml/.mim/{x}' for x in files_below(folder)}
        assert expected
        assert expected <= names
    assert files_below('mmseg_jml/*.py') <= names
    assert 'mmseg_jml/py.typed' in names
    assert not {x for x in names if x.startswith(('tests/', 'tools/'))}


def test_sdist_has_all_that_a_checkout_has(sdist):
    with tarfile.open(sdist) as archive:
        names = {x.partition('/')[2] for x in archive.getnames()}
    assert {x for x in files_below('.') if x[0] != '.'} <= names


@pytest.fixture(scope='module')
def installed(sdist, tmp_path_factory) -> Path:
    """Installs the sdist in a folder of its own."""
    folder = tmp_path_factory.mktemp('installed')
    options = ['--no-deps', '--no-index', '--no-build-isolation', '--quiet']
    words = '-m', 'pip', 'install', *options, '--target', folder, sdist
    python(*words, cwd=folder)
    return folder


def test_wheel_and_sdist_install_the_same(wheel, installed):
    names = {x for x in wheel.namelist() if x[:2] == 'mm'}
    files = (x for x in installed.rglob('*') if x.is_file())
    found = {x.relative_to(installed).as_posix() for x in files}
    of_pip = {'direct_url.json', 'INSTALLER', 'REQUESTED', 'RECORD'}
    found = {x for x in found if '__pycache__' not in x}
    assert {x for x in found ^ names if Path(x).name not in of_pip} == set()


def test_installed_package_trains_resumes_and_tests(installed, tiny, tmp_path):
    """Outside the checkout, by its own tools."""

    def tool(name: str, *words: str) -> None:
        path = run.search_path(installed)
        words = '-m', 'mmseg_jml', name, tiny, *words, '--work-dir', 'out'
        run.python(*words, cwd=tmp_path, PYTHONPATH=path)

    loss = ['--loss', 'JaccardMetricCELoss']
    tool('train', *loss, '--cfg-options', 'train_cfg.max_iters=2')
    tool('train', *loss, '--resume')
    steps = run.losses(tmp_path / 'out')
    assert [step['step'] for step in steps] == [1, 2, 3, 4]
    assert all(step['decode.loss_jml_ce'] > 0 for step in steps)
    tool('test', 'out/iter_4.pth')
    place = python('-c', 'import mmseg_jml; print(mmseg_jml)', cwd=installed)
    assert str(installed) in place


def test_unknown_tool_names_the_known_ones():
    done = run.apart(sys.executable, '-m', 'mmseg_jml', 'trian')
    assert done.returncode == 1
    assert re.search(r"dataset_check, .*train but got 'trian'", done.stderr)


def links(text: str) -> set:
    html = MarkdownIt('gfm-like', dict(linkify=False)).render(text)
    return set(re.findall(r'(?:href|src)="([^"]+)"', html))


def test_index_page_has_no_link_that_leads_nowhere(wheel):
    """What a package index shows are links to other hosts, or to a heading."""
    (name,) = (x for x in wheel.namelist() if x.endswith('/METADATA'))
    header, _, page = wheel.read(name).decode().partition('\n\n')
    assert 'Description-Content-Type: text/markdown' in header
    assert 'License: Apache-2.0' in header
    assert page.count('|') > 50
    assert 'https://arxiv.org/abs/2302.05666' in links(page)
    assert {x for x in links(page) if x[0] != '#' and '://' not in x} == set()


def test_links_of_the_index_page_go_where_the_repository_is(monkeypatch):
    monkeypatch.setenv('DOCS_REPOSITORY', 'https://host/owner/mmseg_jml/main')
    monkeypatch.setattr('setuptools.setup', lambda **words: None)
    setup = runpy.run_path(str(ROOT / 'setup.py'))
    readme = links((ROOT / 'README.md').read_text())
    there = {
        x if '://' in x or x[0] == '#' else f'{setup["REPOSITORY"]}/{x}'
        for x in readme
    }
    assert len(there) > 20
    assert links(setup['long_description']()) == there


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
