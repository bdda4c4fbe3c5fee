"""The rules that the code keeps, checked on the code itself."""

import ast
import importlib
import inspect
import math
import pkgutil
import re
import sys
from operator import attrgetter
from pathlib import Path

import pytest
from mmengine.hooks import Hook

import mmseg_jml

ROOT = Path(mmseg_jml.__file__).parent
TORCH_ONLY = {'torch', 'triton', 'mmseg_jml'}


def public_objects():
    """Classes, their methods and functions that the package offers."""
    for info in pkgutil.walk_packages(mmseg_jml.__path__, 'mmseg_jml.'):
        if '.triton' in info.name:  # needs triton, which needs Linux
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, '__all__', ()):
            thing = getattr(module, name)
            if getattr(thing, '__module__', None) != info.name:
                continue
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield f'{info.name}.{name}', thing
            members = vars(thing) if inspect.isclass(thing) else {}
            for key, member in members.items():
                if not key.startswith('_') and inspect.isfunction(member):
                    yield f'{info.name}.{name}.{key}', member


PUBLIC = dict(public_objects())
INDICES = [
    module
    for path in sorted(ROOT.glob('*/__init__.py'))
    if hasattr(
        module := importlib.import_module(f'mmseg_jml.{path.parent.name}'),
        '__all__',
    )
]


@pytest.mark.skipif(
    sys.version_info < (3, 10), reason='needs the list of standard modules'
)
@pytest.mark.parametrize('room', ['functional', 'kernels'])
def test_the_mathematics_knows_no_framework(room):
    for path in (ROOT / room).rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            roots = {name.partition('.')[0] for name in names}
            assert roots <= TORCH_ONLY | sys.stdlib_module_names, path


# What adapters may compute: the factor of a loss, percentages, and arithmetic
# on sizes, names and numbers of images.
NO_FORMULA = (
    'self.loss_weight * ',
    '100 * mean_iou(counts)',
    '(self._images - 1) * processes',
    'self._images - 1',
    "f'_{number + 1}' * bool(number)",
    'data_samples * self._views',
    'size[0] - height',
    'size[1] - width',
)
ARITHMETIC = (ast.Mult, ast.Div, ast.Pow, ast.Sub)
MATHEMATICS = {'exp', 'log', 'log_softmax', 'mean', 'sigmoid', 'softmax'}


@pytest.mark.parametrize('room', ['losses', 'metrics', 'hooks'])
def test_adapters_hold_no_formula(room):
    """All arithmetic on tensors is in functional/ and kernels/."""
    for path in (ROOT / room).glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.unparse(node)
            if isinstance(getattr(node, 'op', None), ARITHMETIC):
                assert text.startswith(NO_FORMULA), path
            if isinstance(node, ast.Call):
                name = getattr(node.func, 'attr', None)
                assert name not in MATHEMATICS, f'{path}: {text}'


def test_rooms_use_one_another_by_their_indices():
    """What else they import of a room, its index calls internal."""
    rooms = {path.parent.name for path in ROOT.glob('*/__init__.py')}
    for path in ROOT.rglob('*.py'):
        own, *_ = path.relative_to(ROOT).parts
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            name = node.module.replace('mmseg_jml.', '')
            room, _, module = name.partition('.')
            if room in rooms - {own} and module and node.level != 1:
                index = importlib.import_module(f'mmseg_jml.{room}').__doc__
                is_named = (
                    'internal' in index.lower() and f'`{module}`' in index
                )
                assert is_named or 'no index' in index, f'{path}: {name}'


@pytest.mark.parametrize('name', PUBLIC)
def test_public_names_are_documented(name):
    doc = inspect.getdoc(PUBLIC[name]) or ''
    assert len(doc.split()) > 1, name


@pytest.mark.parametrize('room', INDICES)
def test_what_an_index_offers_has_an_example(room):
    """It runs as a doctest."""
    for name in room.__all__:
        thing = getattr(room, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert '>>> ' in inspect.getdoc(thing), name


def parameters(thing):
    function = thing.__init__ if inspect.isclass(thing) else thing
    return inspect.signature(function).parameters


def documented_elsewhere(name, doc):
    """Arguments of what a text refers to by "those of :func:`there`"."""
    found = {}
    text = ' '.join(doc.split())
    for path in re.findall(r'those of :\w+:`~?([\w.]+)`', text):
        siblings = [name.rpartition('.')[0], 'mmseg_jml.functional']
        for full in [path, *(f'{sibling}.{path}' for sibling in siblings)]:
            try:
                thing = attrgetter(full.partition('.')[2])(mmseg_jml)
            except (AttributeError, TypeError):
                continue
            found.update(parameters(thing))
            found.update(documented_elsewhere(full, inspect.getdoc(thing)))
            break
        else:
            raise AssertionError(f'{name} refers to {path}, which is nowhere')
    return found


@pytest.mark.parametrize('name', PUBLIC)
def test_every_argument_is_documented_with_its_default(name):
    """What the text says after "Defaults to" is what the code does.

    An argument may be documented where the text refers to: there it has the
    same name and the same default.
    """
    thing = PUBLIC[name]
    if inspect.isclass(thing) and '__init__' not in vars(thing):
        return
    if name.rpartition('.')[2] in vars(Hook):
        return  # mmengine documents what it calls hooks with
    doc = inspect.getdoc(thing) or ''
    arguments = doc.partition('Args:')[2].partition('\n\n')[0]
    entries = re.findall(
        r'^    \*{0,2}(\w+)(?: \(.*?\))?: '
        r'(.*?)(?=^    \*{0,2}\w+(?: \(|:)|\Z)',
        arguments,
        re.MULTILINE | re.DOTALL,
    )
    told = {key: ' '.join(text.split()) for key, text in entries}
    elsewhere = documented_elsewhere(name, doc)
    for key, parameter in parameters(thing).items():
        if key == 'self' or parameter.default is inspect.Parameter.empty:
            continue
        if key not in told:
            assert key in elsewhere, f'{name} does not document {key}'
            assert elsewhere[key].default == parameter.default, key
            continue
        text = told[key].partition('Defaults to ')[2]
        assert text, f'{name} documents no default of {key}'
        said = re.split(r', which|: |\.$', text)[0].strip('`')
        if said.endswith('()'):  # an object: its class is named
            assert type(parameter.default).__name__ == said[:-2]
        else:
            assert ast.literal_eval(said) == parameter.default, key


def test_nothing_names_a_path_of_some_machine():
    for folder in (ROOT, ROOT.parent / 'tests', ROOT.parent / 'tools'):
        for path in folder.rglob('*.py'):
            text = path.read_text()
            assert not re.search(r'[\'"`]/(home|root|work)/', text), path


@pytest.mark.parametrize(
    'path',
    sorted(ROOT.rglob('*.py')),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_arguments_and_results_are_annotated(path):
    """All but those of Triton's kernels, which are pointers and constants."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if any('jit' in ast.unparse(x) for x in node.decorator_list):
            continue
        names = [
            arg.arg
            for arg in ast.walk(node.args)
            if isinstance(arg, ast.arg) and arg.annotation is None
        ]
        assert {*names} <= {'self', 'cls'}, node.name
        assert node.returns is not None, node.name


TESTS = ROOT.parent / 'tests'
TOLERANCES = {'rtol', 'atol', 'rel', 'abs'}


def literal_tolerances(source: str) -> list[int]:
    """Lines of tolerances in figures, without a comment there or above.

    Tolerances are arguments of these names, the second of ``approx``, and
    what is below 0.01 in ``x < 1e-3``.
    """
    lines, found = source.splitlines(), []
    for node in ast.walk(ast.parse(source)):
        given = []
        if isinstance(node, ast.Call):
            given += [x.value for x in node.keywords if x.arg in TOLERANCES]
            if ast.unparse(node.func).endswith('approx'):
                given += node.args[1:]
        elif isinstance(node, ast.Compare):
            if isinstance(node.ops[-1], (ast.Lt, ast.LtE)):
                given += node.comparators[-1:]
        limit = 0.01 if isinstance(node, ast.Compare) else math.inf
        for part in given:
            value = getattr(part, 'value', None)
            if isinstance(value, (int, float)) and 0 < value < limit:
                above = slice(max(node.lineno - 2, 0), part.lineno)
                if '#' not in ''.join(lines[above]):
                    found.append(part.lineno)
    return found


def test_tolerances_are_in_the_table_or_have_a_reason():
    found = {
        str(path.relative_to(TESTS)): lines
        for path in TESTS.rglob('*.py')
        if path.name != 'tolerances.py'
        if (lines := literal_tolerances(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    ('source', 'lines'),
    [
        ('assert_close(x, y, rtol=0, atol=1e-3)', [1]),
        ('assert x == pytest.approx(y, 1e-3)', [1]),
        ('assert x == pytest.approx(\n    y, abs=1e-3\n)', [2]),
        ('assert error < 1e-3', [1]),
        ('assert error < 0.5', []),
        ('# a step of the grid\nassert error < 1e-3', []),
        ('assert_close(x, y, **EXACT)', []),
    ],
)
def test_literal_tolerances_are_found(source, lines):
    assert literal_tolerances(source) == lines


# What torch has since which version. The package runs on torch 2.0.
NEWER = {
    f'torch.{name}'
    for names in (
        'compile func set_default_device vmap',  # 2.0
        'nn.functional.scaled_dot_product_attention',  # 2.0
        'compiler export float8_e4m3fn float8_e5m2',  # 2.1
        'distributed.device_mesh nn.attention unravel_index',  # 2.2
        'amp.GradScaler get_default_device uint16 uint32',  # 2.3
        'amp.custom_bwd amp.custom_fwd library.custom_op',  # 2.4
        'library.register_fake serialization.add_safe_globals',  # 2.4
        'serialization.get_safe_globals',  # 2.4
        'serialization.safe_globals',  # 2.5
        'accelerator',  # 2.6
    )
    for name in names.split()
}


def unguarded(source: str) -> list[str]:
    """Names of NEWER that code reads where torch need not have them.

    A function may read them if it asks for the version of torch or, with
    hasattr, for a name. ``getattr(torch, name, default)`` reads none.
    """
    tree = ast.parse(source)
    whole_names, found = {}, []
    for node in ast.walk(tree):
        for alias in getattr(node, 'names', ()):
            if isinstance(node, ast.Import):
                whole_names[alias.asname or alias.name] = alias.name
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                name = f'{node.module}.{alias.name}'
                whole_names[alias.asname or alias.name] = name

    def visit(node, guarded):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            guarded = any(
                re.search(
                    r'torch\.__version__|hasattr\(torch', ast.unparse(x.test)
                )
                for x in ast.walk(node)
                if isinstance(x, (ast.If, ast.IfExp))
            )
        if isinstance(node, (ast.Attribute, ast.Name)) and not guarded:
            root, *rest = ast.unparse(node).split('.')
            name = '.'.join([whole_names.get(root, root), *rest])
            found.extend({name} & NEWER)
        for child in ast.iter_child_nodes(node):
            visit(child, guarded)

    visit(tree, guarded=False)
    return found


# What Python has since 3.9, by the word that code uses for it. Its syntax is
# what ruff looks at.
SINCE_3_9 = {'cache', 'cancel_futures', 'removeprefix', 'removesuffix'}


def newer_than_3_8(source: str) -> list[str]:
    """Find what Python 3.8 cannot run: generics that are no annotations."""
    tree = ast.parse(source)
    generic = {'dict', 'frozenset', 'list', 'set', 'tuple', 'type'}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module.startswith('collections'):
                generic.update(alias.name for alias in node.names)
    found = []

    def visit(node):
        if isinstance(node, ast.Subscript):
            if ast.unparse(node.value) in generic:
                found.append(ast.unparse(node))
        if isinstance(node, (ast.Attribute, ast.alias, ast.keyword)):
            names = (getattr(node, key, '') for key in ('attr', 'name', 'arg'))
            found.extend(SINCE_3_9.intersection(names))
        for field, value in ast.iter_fields(node):
            if field not in ('annotation', 'returns'):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        visit(child)

    visit(tree)
    return found


@pytest.mark.parametrize('search', [unguarded, newer_than_3_8])
def test_old_torch_and_python_are_not_asked_for_what_they_lack(search):
    found = {
        str(path): names
        for folder in (ROOT, ROOT.parent / 'demo', ROOT.parent / 'tools')
        for path in folder.rglob('*.py')
        if (names := search(path.read_text()))
    }
    assert found == {}


ADD = 'torch.serialization.add_safe_globals'
SDPA = 'scaled_dot_product_attention'
FULL = f'torch.nn.functional.{SDPA}'


@pytest.mark.parametrize(
    ('search', 'source', 'name'),
    [
        (unguarded, 'torch.compiler.is_compiling()', 'torch.compiler'),
        (unguarded, f'def f():\n {ADD}([])', ADD),
        (unguarded, f'import torch.nn.functional as F\nF.{SDPA}(x)', FULL),
        (unguarded, 'from torch import vmap\nvmap(f)', 'torch.vmap'),
        (
            unguarded,
            'def f():\n if new(torch.__version__): torch.vmap(f)\n'
            'def g():\n torch.func.grad(f)',
            'torch.func',
        ),
        (newer_than_3_8, 'Scores = dict[str, int]', 'dict[str, int]'),
        (
            newer_than_3_8,
            'from collections.abc import Sequence\nx = Sequence[int]',
            'Sequence[int]',
        ),
        (newer_than_3_8, 'from functools import cache', 'cache'),
        (newer_than_3_8, '"a".removeprefix("b")', 'removeprefix'),
        (newer_than_3_8, 'x.shutdown(cancel_futures=True)', 'cancel_futures'),
    ],
)
def test_what_is_too_new_is_found(search, source, name):
    assert search(source) == [name]
    assert search('def f(x: dict[str, int]) -> list[int]: ...') == []
