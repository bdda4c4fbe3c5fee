"""The pages of the project, and the code and commands on them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_PATTERNS = '*.md', 'docs/*.md', 'configs/*/README.md', 'demo/README.md'
PAGES = sorted(path for x in _PATTERNS for path in ROOT.glob(x))
_FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r'(?<!`)`([^`]+)`(?!`)')
_STARTS = re.compile(
    r'(\w+=\S* )*((make|pip|python) \S|tools/\S+\.sh \S|mim \S+ \S+ \S)'
)


class Block(NamedTuple):
    """A fenced block of a page, at a line, with its label and its text."""

    page: str
    line: int
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    """All fenced blocks in some languages."""
    found = []
    for path in PAGES:
        text, name = path.read_text(), str(path.relative_to(ROOT))
        for match in _FENCE.finditer(text):
            line = text.count('\n', 0, match.start()) + 1
            found.append(Block(name, line, *match.groups()))
    return [block for block in found if block.language in languages]


def commands() -> dict[str, str]:
    """Every command by the page that shows it first, comments left out.

    Those are the lines of shell blocks, and what stands inline and begins
    like one.
    """
    found = {}
    for block in blocks('shell', 'bash', 'console', 'sh'):
        for line in block.text.replace('\\\n', ' ').splitlines():
            words = shlex.split(line, comments=True)
            if words:
                found.setdefault(_tidy(line), block.page)
    for path in PAGES:
        for code in _INLINE.findall(_FENCE.sub('', path.read_text())):
            if _STARTS.match(code):
                page = str(path.relative_to(ROOT))
                found.setdefault(_tidy(code), page)
    return found


def _tidy(line: str) -> str:
    return re.sub(r'\s+', ' ', re.sub(r'\s#.*', '', line)).strip()
