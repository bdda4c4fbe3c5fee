"""Links between the pages, and to files, lead somewhere on any host."""

import re

import pytest

from .pages import PAGES, ROOT

_FENCES = re.compile(r'^```.*?^```$', re.MULTILINE | re.DOTALL)
_LINK = re.compile(r'\]\(([^)\s]+)\)')


def anchors(text):
    """What headings are called in links."""
    titles = re.findall(r'^#+ (.*)$', _FENCES.sub('', text), re.MULTILINE)
    kept = (re.sub(r'[^\w\- ]', '', title.lower()) for title in titles)
    return {title.strip().replace(' ', '-') for title in kept}


@pytest.mark.parametrize('page', PAGES, ids=lambda x: str(x.relative_to(ROOT)))
def test_links(page):
    for target in _LINK.findall(_FENCES.sub('', page.read_text())):
        if target.startswith(('https://', 'http://')):
            continue
        name, _, anchor = target.partition('#')
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert path.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(path.read_text()), target


def test_the_index_lists_every_page():
    text = (ROOT / 'docs/index.md').read_text()
    listed = set(re.findall(r'^[\w/]+$', text, re.MULTILINE))
    pages = {
        str(path.relative_to(ROOT / 'docs').with_suffix(''))
        for path in (ROOT / 'docs').rglob('*.md')
        if '_build' not in path.parts
    }
    assert listed == pages - {'index'}
