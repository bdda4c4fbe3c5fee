"""The files that code hosts and their tools look for say what is true."""

import os
import shlex

import yaml

import mmseg_jml
from tests.docs.pages import ROOT


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text())


def test_citation_names_this_version_and_the_paper():
    """The format asks for the first four of these keys."""
    citation = read('CITATION.cff')
    assert {'cff-version', 'message', 'title', 'authors'} <= citation.keys()
    assert citation['version'] == mmseg_jml.__version__
    (paper,) = citation['references']
    assert paper['url'] == 'https://arxiv.org/abs/2302.05666'
    families = [author['family-names'] for author in paper['authors']]
    assert families == ['Wang', 'Ning', 'Blaschko']
    assert paper['title'] in (ROOT / 'README.md').read_text()


def test_the_code_host_runs_what_a_developer_runs():
    (job,) = read('.github/workflows/ci.yml')['jobs'].values()
    assert [step['run'] for step in job['steps'] if 'run' in step] == [
        '.ci/run'
    ]
    assert os.access(ROOT / '.ci/run', os.X_OK)


def test_hooks_before_a_commit_are_targets_of_make():
    """Nothing is downloaded for them, and no path of an environment named."""
    makefile = (ROOT / 'Makefile').read_text()
    (repository,) = read('.pre-commit-config.yaml')['repos']
    assert repository['repo'] == 'local'
    for hook in repository['hooks']:
        assert hook['language'] == 'system'
        assert hook['pass_filenames'] is False
        *make, target = shlex.split(hook['entry'])
        assert make == ['make', '-s']
        assert f'\n{target}: ' in makefile


def test_templates_have_what_lists_show():
    templates = sorted((ROOT / '.github/ISSUE_TEMPLATE').glob('*.md'))
    assert len(templates) == 2
    for path in templates:
        _, header, text = path.read_text().split('---\n')
        assert {'name', 'about', 'labels'} <= yaml.safe_load(header).keys()
        assert '**' in text
