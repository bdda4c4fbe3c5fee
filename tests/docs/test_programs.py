"""The programs of the pages do what the pages say."""

import doctest
import importlib.util
import re
import sys

import pytest
import torch
from mmengine.runner import Runner
from mmseg.registry import MODELS as PARENT

from mmseg_jml import cli
from mmseg_jml import losses as own
from mmseg_jml.config import replace_pixel_loss
from mmseg_jml.registry import MODELS
from tests.hooks.runs import assert_same, student_config
from tests.hooks.semi import learn, write_pictures
from tests.tiny_run import tiny_config, write_images
from tests.tools.run import log_of, losses

from .pages import ROOT, blocks


def programs(page: str) -> list:
    """The texts of a page's Python that imports something."""
    texts = [x.text for x in blocks('python') if x.page == f'docs/{page}.md']
    return [x for x in texts if re.search(r'^(from|import) ', x, re.MULTILINE)]


def test_the_loss_has_a_gradient_where_mmseg_is_not_looked_at():
    (program,) = programs('using_jml')
    names = {}
    exec(compile(program, 'using_jml', 'exec'), names)
    assert torch.isfinite(names['logits'].grad).all()
    assert names['logits'].grad.abs().sum() > 0


def test_average_is_exported(tmp_path, monkeypatch):
    """As a stock checkpoint."""
    cfg = student_config(tmp_path / 'noise', tmp_path / 'run')
    _, steps = learn(cfg, write_pictures(tmp_path / 'pictures'), momentum=0.7)
    (program,) = programs('semi_supervised')
    assert "'iter_80000.pth'" in program
    monkeypatch.chdir(tmp_path)
    path = f'{cfg.work_dir}/iter_3.pth'
    exec(program.replace('iter_80000.pth', path), {})

    stock = torch.load('teacher.pth', weights_only=True)['state_dict']
    assert_same(stock, steps.teachers[-1])
    model = PARENT.build(cfg.model)
    model.load_state_dict(stock, strict=True)
    name = 'decode_head.conv_seg.weight'
    assert not torch.equal(stock[name], steps.states[-1][name])


PAGE = 'adding_a_loss'
STEM = 'pooled_jaccard'
FORMULA = f'mmseg_jml.functional.{STEM}'
ENTRY = f'mmseg_jml.losses.{STEM}_loss'
# In the order of the page: a loss that trains as it stands.
MODULES = FORMULA, ENTRY, f'tests.functional.test_{STEM}'


@pytest.fixture
def modules(tmp_path):
    """Imports the blocks as the modules that they would be."""
    loaded = []
    for name, text in zip(MODULES, programs(PAGE)):
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


def test_page_names_the_files_that_it_shows(modules):
    text = (ROOT / f'docs/{PAGE}.md').read_text()
    files = re.findall(r'^\| `([\w/]+\.py)`', text, re.MULTILINE)
    named = {path.removesuffix('.py').replace('/', '.') for path in files}
    assert named == {*MODULES}


def test_its_tests_pass(modules):
    formula, _, tests = modules
    assert doctest.testmod(formula).failed == 0
    assert doctest.testmod(formula).attempted == 2
    laws = [v for k, v in vars(tests).items() if k.startswith('test_')]
    assert len(laws) == 3
    for law in laws:
        law()


def test_it_trains_by_its_entry(modules, tmp_path, monkeypatch):
    """In place of a stock entry, with logits of half the label's sides."""
    loss = modules[1].PooledJaccardLoss
    # as the lines in losses/__init__.py would
    monkeypatch.setattr(own, 'PooledJaccardLoss', loss, raising=False)
    monkeypatch.setattr(own, '__all__', [*own.__all__, 'PooledJaccardLoss'])
    MODELS.register_module(module=loss)
    write_images(tmp_path / 'data')
    cfg = tiny_config(tmp_path / 'data', tmp_path / 'work')
    entry = dict(type='CrossEntropyLoss', loss_name='loss_pooled')
    cfg.model.decode_head.update(loss_decode=entry, in_index=1, in_channels=8)
    assert replace_pixel_loss(cfg, 'PooledJaccardLoss')
    cli.use_head_resolution(cfg)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    try:
        Runner.from_cfg(cfg).train()
    finally:
        for registry in (MODELS, PARENT):
            registry._module_dict.pop('PooledJaccardLoss', None)
    told = "decode (FCNHead): losses at the head's resolution"
    assert told in log_of(tmp_path / 'work')
    steps = losses(tmp_path / 'work')
    assert len(steps) == 2
    for step in steps:
        assert 0 < step['decode.loss_pooled'] < 1
        assert step['loss'] == step['decode.loss_pooled']
        assert 0 < step['decode.acc_seg'] < 100
