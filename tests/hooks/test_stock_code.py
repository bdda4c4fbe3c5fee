"""Recognition of mmseg's code, whatever the version of Python."""

import hashlib
import importlib.util

import pytest

from mmseg_jml.head_resolution.stock_code import fingerprint

PLAIN = """
def read(x):
    '''Say something.'''
    return x[1:, 0]
"""
SYNTAX = (
    "[Return(value=Subscript(value=Name(id='x'), slice=Tuple(elts=["
    'Slice(lower=Constant(value=1)) Constant(value=0)])))]'
)


def fingerprint_of(folder, source: str) -> str:
    path = folder / f'code_{abs(hash(source))}.py'
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return fingerprint(module.read)


def test_it_is_a_hash_of_the_syntax(tmp_path):
    """Without the contexts and wrappers in which versions of Python differ."""
    expected = hashlib.sha256(SYNTAX.encode()).hexdigest()[:16]
    assert fingerprint_of(tmp_path, PLAIN) == expected


@pytest.mark.parametrize(
    ('old', 'new', 'is_same'),
    [
        ('Say something.', 'Say it otherwise.', True),
        ('(x)', '(x: object) -> object', True),
        (
            'x[1:, 0]',
            '(x[\n        (1):,  # comment\n        0,\n    ])',
            True,
        ),
        ('x[1:, 0]', 'x[0:, 0]', False),
        ('x[1:, 0]', 'x[1:][0]', False),
    ],
)
def test_layout_changes_nothing_and_code_does(tmp_path, old, new, is_same):
    changed = PLAIN.replace(old, new)
    found = (fingerprint_of(tmp_path, s) for s in (PLAIN, changed))
    assert (len(set(found)) == 1) == is_same


def test_the_first_statement_counts_unless_it_is_a_docstring(tmp_path):
    sources = [
        PLAIN.replace("'''Say something.'''", f'x = x[{i}]') for i in (1, 2)
    ]
    first, second = (fingerprint_of(tmp_path, source) for source in sources)
    assert first != second


@pytest.mark.parametrize('source', ['read = lambda x: x', 'read = len'])
def test_what_is_no_definition_has_no_fingerprint(tmp_path, source):
    assert fingerprint_of(tmp_path, source) == ''
