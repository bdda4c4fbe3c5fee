"""``make docs-check`` finds what is wrong with a page."""

from __future__ import annotations

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
    (tmp_path / 'good.html').write_text(
        PAGE.format(
            '<p id=JaccardMetricLoss><a href="#JaccardMetricLoss">x</a>'
        )
    )
    (tmp_path / 'search.html').write_text(
        PAGE.format('<p class=search><a href="good.html#JaccardMetricLoss">x')
    )
    assert check(tmp_path) == []
    (tmp_path / 'bad.html').write_text(
        PAGE.format(
            '<div style="width: 900px">x</div><img src="no.png">'
            '<a href="none.html">x</a><a href="good.html#where">x</a>'
            '<a href="file:///etc">x</a>'
        )
    )
    found = ' '.join(check(tmp_path))
    assert 'bad.html is 9' in found
    assert 'no.png' in found
    assert 'bad.html links to none.html: no such file.' in found
    assert 'bad.html links to good.html, not #where.' in found
    assert 'bad.html links to file:///etc' in found
