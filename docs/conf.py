"""The site: `make docs` builds it from these pages and the docstrings."""

import os
import re

from mmseg_jml import __version__

project = 'mmseg_jml'
release = __version__
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
exclude_patterns = ['_build']

smartquotes = False  # 'jml1' is Python
html_theme = 'furo'
html_title = f'mmseg_jml {release}'
html_show_copyright = False

myst_heading_anchors = 3
# Links out of this folder: to the clone, seen from docs/_build/html, or to
# where a published site finds the files.
repository = os.environ.get('DOCS_REPOSITORY', '../../..')
myst_url_schemes = {
    'http': None,
    'https': None,
    'clone': repository + '/{{path}}',
}

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # the docstrings have them
napoleon_use_ivar = True


def _leave_the_folder(app, page: str, source: list[str]) -> None:
    """Makes links to ``../`` those of a scheme of their own."""
    source[0] = re.sub(
        r'(?<!!)(\[[^\]]+\]\()(?:\.\./)+', r'\1clone:', source[0]
    )


def _escape_shapes(app, what, name, thing, options, lines) -> None:
    """Keeps (N, *) and |p - y| from being read as markup."""
    lines[:] = [
        re.sub(r'\*(?=[,)])|\|(?=\S)', r'\\\g<0>', line) for line in lines
    ]


def setup(app) -> None:
    """Tells Sphinx of the two."""
    app.connect('source-read', _leave_the_folder)
    app.connect('autodoc-process-docstring', _escape_shapes)
