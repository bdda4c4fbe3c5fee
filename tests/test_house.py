"""The rules that the code keeps, checked on the code itself."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmseg_jml

ROOT = Path(mmseg_jml.__file__).parent
TORCH_ONLY = {'torch', 'triton', 'mmseg_jml'}


def modules():
    for info in pkgutil.walk_packages(mmseg_jml.__path__, 'mmseg_jml.'):
        if 'triton_' not in info.name:  # needs triton, which needs Linux
            yield info.name


def public_objects():
    """Classes, their methods and functions that the package offers."""
    for name in modules():
        module = importlib.import_module(name)
        for attribute in getattr(module, '__all__', ()):
            thing = getattr(module, attribute)
            if getattr(thing, '__module__', None) != name:
                continue
            if not inspect.isclass(thing) and not inspect.isfunction(thing):
                continue
            yield f'{name}.{attribute}', thing
            if inspect.isclass(thing):
                for key, member in vars(thing).items():
                    if not key.startswith('_') and inspect.isfunction(member):
                        yield f'{name}.{attribute}.{key}', member


PUBLIC = dict(public_objects())


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


def test_adapters_hold_no_formula():
    """No arithmetic on tensors in a loss entry but its own factor."""
    tree = ast.parse((ROOT / 'losses/jaccard_metric_loss.py').read_text())
    factors = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, (ast.Mult, ast.Div, ast.Pow, ast.Sub))
    ]
    assert all(text.startswith('self.loss_weight * ') for text in factors)


@pytest.mark.parametrize('name', PUBLIC)
def test_public_names_are_documented(name):
    doc = inspect.getdoc(PUBLIC[name]) or ''
    assert len(doc.split()) > 1, name


@pytest.mark.parametrize('name', PUBLIC)
def test_every_argument_is_documented_with_its_default(name):
    """What the text says after "Defaults to" is what the code does."""
    thing = PUBLIC[name]
    if inspect.isclass(thing) and '__init__' not in vars(thing):
        return
    doc = inspect.getdoc(thing) or ''
    function = thing.__init__ if inspect.isclass(thing) else thing
    arguments = doc.partition('Args:')[2].partition('\n\n')[0]
    entries = re.findall(
        r'^    \*{0,2}(\w+)(?: \(.*?\))?: '
        r'(.*?)(?=^    \*{0,2}\w+(?: \(|:)|\Z)',
        arguments,
        re.MULTILINE | re.DOTALL,
    )
    told = {key: ' '.join(text.split()) for key, text in entries}
    signature = inspect.signature(function).parameters
    for key, parameter in signature.items():
        if key == 'self' or parameter.default is inspect.Parameter.empty:
            continue
        assert key in told, f'{name} does not document {key}'
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


def test_the_mathematics_works_where_mmseg_is_not_installed():
    code = """
import importlib.util, sys
find = importlib.util.find_spec
for name in ('mmseg', 'mmengine', 'mmcv'):
    sys.modules[name] = None
importlib.util.find_spec = lambda name, *a: (
    None if name == 'mmseg' else find(name, *a))
import torch
from mmseg_jml.functional import jaccard_metric_loss
print(jaccard_metric_loss(torch.zeros(1, 2, 3), torch.zeros(1, 3).long()))
"""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True
    )
    # by hand: sum min = 1.5, sum max = 3, 1 - 2.5 / 4
    assert done.stdout == 'tensor(0.3750)\n', done.stderr
