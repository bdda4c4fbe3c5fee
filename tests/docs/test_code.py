"""Python on the pages: what it names exists and takes what it is given."""

import ast
import importlib
import inspect
import re

import pytest
from mmengine.config import Config
from mmseg import registry
from mmseg.utils import register_all_modules

from mmseg_jml import hooks
from mmseg_jml.supervision.schedule import SHAPES, Schedule

from .pages import ROOT, blocks

REGISTRIES = [
    getattr(registry, name)
    for name in ('MODELS', 'HOOKS', 'METRICS', 'TRANSFORMS', 'DATASETS')
]
register_all_modules(init_default_scope=False)


def is_program(block) -> bool:
    nodes = ast.parse(block.text).body
    return any(isinstance(x, (ast.Import, ast.ImportFrom)) for x in nodes)


CONFIGS = [block for block in blocks('python') if not is_program(block)]


def test_programs_are_run_and_configs_are_checked():
    """test_programs.py runs those of these pages."""
    programs = {x.page for x in blocks('python') if is_program(x)}
    pages = 'using_jml', 'semi_supervised', 'adding_a_loss'
    assert programs == {f'docs/{page}.md' for page in pages}
    assert len(CONFIGS) > 10


def entries(value):
    """All dictionaries in a config that say what they are."""
    if isinstance(value, dict):
        if 'type' in value:
            yield value
        value = value.values()
    if not isinstance(value, str):
        for part in value if hasattr(value, '__iter__') else ():
            yield from entries(part)


def find(name: str):
    """The registry that has a name, and the class."""
    for one in REGISTRIES:
        found = one.get(name)
        if found is not None:
            return one, found
    return None, None


@pytest.mark.parametrize(
    'block', CONFIGS, ids=[f'{x.page}:{x.line}' for x in CONFIGS]
)
def test_config(block):
    """Entries of this package build; all others name what there is."""
    text = re.sub(r'^(_base_ = ).*$', r'\1[]', block.text, flags=re.MULTILINE)
    cfg = Config.fromstring(text, '.py').to_dict()
    for entry in entries(cfg):
        if entry['type'] in SHAPES:
            assert Schedule.parse('loss_weight', entry)
            continue
        registry_, cls = find(entry['type'])
        if cls is None:
            augmentation = importlib.import_module('kornia.augmentation')
            assert getattr(augmentation, entry['type'])(**without_type(entry))
        elif cls.__module__.startswith('mmseg_jml.'):
            assert isinstance(registry_.build(dict(entry)), cls)
        else:
            inspect.signature(cls).bind_partial(**without_type(entry))


def without_type(entry: dict) -> dict:
    return {key: value for key, value in entry.items() if key != 'type'}


@pytest.mark.parametrize(
    ('page', 'cls'),
    [
        ('distillation', hooks.DistillationHook),
        ('semi_supervised', hooks.PseudoLabelHook),
    ],
)
def test_table_of_options_is_that_of_the_code(page, cls):
    text = (ROOT / f'docs/{page}.md').read_text()
    table = text.partition('## Options')[2].partition('\n\n**')[0]
    table = table.partition('\n\n')[2].partition('\n\n')[0]
    rows = re.findall(r'^\| `(\w+)` \| (.*?) \|', table, re.MULTILINE)
    parameters = inspect.signature(cls).parameters
    assert [name for name, _ in rows] == list(parameters)
    for name, said in rows:
        try:
            value = ast.literal_eval(said.strip('`'))
        except (SyntaxError, ValueError):  # words
            assert parameters[name].default in (None, parameters[name].empty)
        else:
            assert value == parameters[name].default
