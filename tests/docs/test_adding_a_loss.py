"""The loss of docs/adding_a_loss.md is complete: it trains as it stands."""

from __future__ import annotations

import doctest
import importlib.util
import re
import sys

import pytest
from mmengine.runner import Runner
from mmseg.registry import MODELS as PARENT

from mmseg_jml.registry import MODELS
from tests.tiny_run import tiny_config, write_images
from tests.tools.run import losses

from .pages import ROOT, blocks

PAGE = 'docs/adding_a_loss.md'
STEM = 'pooled_jaccard'
# In the order of the page.
MODULES = (
    f'mmseg_jml.functional.{STEM}',
    f'mmseg_jml.losses.{STEM}_loss',
    f'tests.functional.test_{STEM}',
)


@pytest.fixture
def modules(tmp_path):
    """Imports the blocks as the modules that they would be."""
    loaded = []
    texts = [block.text for block in blocks('python') if block.page == PAGE]
    for name, text in zip(MODULES, texts):
        path = tmp_path / f'{name.rpartition(".")[2]}.py'
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        loaded.append(module)
    yield loaded
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture
def registered(modules):
    """Does what the line in ``losses/__init__.py`` would do."""
    _, entry, _ = modules
    MODELS.register_module(module=entry.PooledJaccardLoss)
    yield
    for registry in (MODELS, PARENT):
        registry._module_dict.pop('PooledJaccardLoss', None)


def test_page_names_the_files_that_it_shows(modules):
    text = (ROOT / PAGE).read_text()
    files = re.findall(r'^\| `([\w/]+\.py)`', text, re.MULTILINE)
    named = {path.removesuffix('.py').replace('/', '.') for path in files}
    assert named == {*MODULES, f'tests.losses.test_{STEM}_loss'}


def test_its_tests_pass(modules):
    formula, _, tests = modules
    assert doctest.testmod(formula).failed == 0
    assert doctest.testmod(formula).attempted == 2
    laws = [v for k, v in vars(tests).items() if k.startswith('test_')]
    assert len(laws) == 3
    for law in laws:
        law()


def test_it_trains_by_its_entry(registered, tmp_path):
    write_images(tmp_path / 'data')
    cfg = tiny_config(tmp_path / 'data', tmp_path / 'work')
    cfg.model.decode_head.loss_decode = dict(
        type='mmseg_jml.PooledJaccardLoss', sync=True
    )
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    Runner.from_cfg(cfg).train()
    steps = losses(tmp_path / 'work')
    assert len(steps) == 2
    for step in steps:
        assert 0 < step['decode.loss_pooled'] < 1
        assert step['loss'] == step['decode.loss_pooled']
