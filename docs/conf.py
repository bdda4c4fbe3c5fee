"""The site: `make docs` builds it from these pages and the docstrings."""

import os
import re
from pathlib import Path

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
# Where the files of the repository are shown; setup.py reads it too. Nowhere
# yet: then a page names a file where it would link to it.
repository = os.environ.get('DOCS_REPOSITORY', '')

autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # the docstrings have them
napoleon_use_ivar = True


def _leave_the_folder(app, page: str, source: list[str]) -> None:
    """Turn links to ``../`` into those to the repository, or into words."""

    def leave(link: re.Match) -> str:
        text, path = link.groups()
        if repository:
            return f'[{text}]({repository}/{path})'
        name = Path(path).name.strip('`')
        return text if name in text else f'{text} (`{path}`)'

    source[0] = re.sub(
        r'(?<!!)\[([^\[\]]+)\]\((?:\.\./)+([^)]*)\)', leave, source[0]
    )


def _escape_shapes(app, what, name, thing, options, lines) -> None:
    """Keep (N, *) and |p - y| from being read as markup."""
    lines[:] = [
        re.sub(r'\*(?=[,)])|\|(?=\S)', r'\\\g<0>', line) for line in lines
    ]


def setup(app) -> None:
    """Tell Sphinx of the two."""
    app.connect('source-read', _leave_the_folder)
    app.connect('autodoc-process-docstring', _escape_shapes)
