"""The metadata that pyproject.toml cannot hold; all else is there."""

import os
import re
from pathlib import Path

from setuptools import setup

# Where the files of this repository are shown, without a slash at the end.
# The site reads it too (docs/conf.py). Nowhere yet: then the README in the
# metadata has no links to files, which would be broken on a package index.
REPOSITORY = os.environ.get('DOCS_REPOSITORY', '')
_FENCE = re.compile(r'(^```.*?^```$)', re.MULTILINE | re.DOTALL)
_RELATIVE = re.compile(r'(!?)\[((?:[^\[\]]|\n)*)\]\((?!https?://|#)([^)]+)\)')


def _absolute(link: re.Match) -> str:
    image, text, path = link.groups()
    if REPOSITORY:
        return f'{image}[{text}]({REPOSITORY}/{path})'
    return '' if image else text


def long_description() -> str:
    """The README with links that hold anywhere."""
    text = Path(__file__).with_name('README.md').read_text(encoding='utf-8')
    parts = _FENCE.split(text)
    parts[::2] = [_RELATIVE.sub(_absolute, part) for part in parts[::2]]
    return ''.join(parts)


setup(
    long_description=long_description(),
    long_description_content_type='text/markdown',
    # here for setuptools below 77, the last of which serves Python 3.8
    license='Apache-2.0',
)
