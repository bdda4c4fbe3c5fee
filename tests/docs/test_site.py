"""``make docs-check`` finds what is wrong with a page."""

import runpy
import shutil

import pytest

from .pages import ROOT

PAGE = """<!doctype html><meta name=viewport content="width=device-width">
<body style="margin: 0">{}"""


@pytest.mark.skipif(
    not shutil.which('chromedriver'), reason='needs Chromium and its driver'
)
def test_faults_are_found(tmp_path):
    check = runpy.run_path(str(ROOT / 'docs/check.py'))['check']

    def write(name, body):
        (tmp_path / f'{name}.html').write_text(PAGE.format(body))

    name = 'JaccardMetricLoss'
    write('good', f'<p id={name}><a href="#{name}">x</a>')
    write('search', f'<p class=search><a href="good.html#{name}">x')
    assert check(tmp_path) == []
    write(
        'bad',
        '<div style="width: 900px">x</div><img src="no.png">'
        '<a href="none.html">x</a><a href="good.html#where">x</a>'
        '<a href="file:///etc">x</a>',
    )
    found = ' '.join(check(tmp_path))
    for told in (
        'bad.html is 9',
        'no.png',
        'bad.html links to none.html: no such file.',
        'bad.html links to good.html, not #where.',
        'bad.html links to file:///etc',
    ):
        assert told in found
