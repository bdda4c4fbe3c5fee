"""Fixtures that every test shares."""

from __future__ import annotations

import gc
import os
import random
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

import mmseg_jml  # noqa: F401 (lets mmseg import, whatever test is first)
from tests import devices
from tests.tiny_run import tiny_config, write_images

torch.set_num_threads(1)
# On GPUs, here and in processes: products of float32 in float32, and sums in
# one order. Libraries read this when they start.
os.environ.setdefault('NVIDIA_TF32_OVERRIDE', '0')
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')


@pytest.fixture(scope='session')
def gpus():
    """The GPUs that may be seen, as the environment says; None for all."""
    return os.environ.get('CUDA_VISIBLE_DEVICES')


@pytest.fixture(scope='session', autouse=True)
def _processor(gpus):
    """Keeps runs, and processes of their own, off the GPUs: see `device`."""
    if torch.cuda.is_available():
        torch.cuda.init()  # this process has seen them
        torch.cuda.device_count()  # older torch would count them again
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.device.utils.DEVICE', 'cpu')
        patch.setenv('CUDA_VISIBLE_DEVICES', '')
        yield


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.gpu] * (name != 'cpu'))
        for name in devices.NAMES
    ]
)
def device(request, gpus, monkeypatch):
    """Puts a test, its runs and its processes on the CPU, then on a GPU."""
    if request.param != 'cpu':
        monkeypatch.setattr('mmengine.device.utils.DEVICE', request.param)
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
        if gpus is not None:
            monkeypatch.setenv('CUDA_VISIBLE_DEVICES', gpus)
    return torch.device(request.param)


@pytest.fixture(scope='session', autouse=True)
def _collect_what_tests_leave():
    """Keeps the garbage collector, which data sets call, off the imports."""
    gc.freeze()


@pytest.fixture
def deterministic(device):
    """Gives the same bits twice, on each device."""
    devices.be_deterministic(device.type != 'cpu')
    yield
    devices.be_deterministic(False)


@pytest.fixture(autouse=True)
def _seed():
    """Starts each test from the same random numbers, in any order."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _forget_runs():
    """Drops mmengine's global objects, which a run leaves to the next."""
    yield
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            handler.close()
    # each class has instances of its own; runs of one second share a name
    drawers = (Visualizer, *Visualizer.__subclasses__())
    for manager in (MessageHub, MMLogger, DefaultScope, *drawers):
        manager._instance_dict.clear()


@pytest.fixture(autouse=True)
def _plain_configs(monkeypatch):
    """Keeps configs from being laid out, which takes most of a tiny run."""

    def plain(text: str, **style) -> tuple[str, bool]:
        return text, True

    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', plain)
    if hasattr(config, 'FormatCode'):  # imported early on one stack
        monkeypatch.setattr(config, 'FormatCode', plain)


@pytest.fixture
def strict(monkeypatch):
    """Forbids to load more than weights, as torch does by default from 2.6 on.

    OneDL's mmengine falls back to unpickling anything, unless this is set.
    """
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')


@pytest.fixture(scope='session')
def torchvision():
    """Makes torchvision importable, as mmpretrain's backbones need it.

    `make setup` puts a build for CUDA beside the environments. Beside a torch
    for processors its operators do not load, and its import asks for two of
    them by name: they are declared here, without code that could run.
    """
    beside = Path(sys.prefix).parent / 'torchvision'
    library = None  # its declarations live as long as it does
    if find_spec('torchvision') is None:
        if not beside.is_dir():
            pytest.skip(f'no torchvision, neither installed nor in {beside}')
        if torch.version.cuda is None:
            library = torch.library.Library('torchvision', 'DEF')
            takes = '(Tensor boxes, Tensor scores, float iou) -> Tensor'
            for name in ('nms', 'qnms'):
                library.define(name + takes)
        # for this process alone: others inherit the path, not the operators
        sys.path.append(str(beside))
        import_module('torchvision')
        sys.path.remove(str(beside))
    return library


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    """Writes a config as users have it, and its images; returns its path.

    It has stock losses in two heads, and trains within a second.
    """
    root = tmp_path_factory.mktemp('tiny')
    write_images(root / 'data')
    cfg = tiny_config(root / 'data', root)
    for key in ('work_dir', 'custom_hooks', 'custom_imports'):
        del cfg._cfg_dict[key]
    ce = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)
    head = cfg.model.decode_head = dict(cfg.model.decode_head, loss_decode=ce)
    cfg.model.auxiliary_head = dict(head, in_channels=8, in_index=1)
    cfg.train_cfg.update(max_iters=4, val_interval=4)
    hooks, backend = cfg.default_hooks, dict(type='LocalVisBackend')
    hooks.checkpoint.interval = 2
    hooks.logger = dict(type='LoggerHook', interval=1)
    hooks.visualization = dict(type='SegVisualizationHook', interval=1)
    cfg.visualizer = dict(type='SegLocalVisualizer', vis_backends=[backend])
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.tta_model = dict(type='SegTTAModel')
    flips = [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)]
    label, pack = dict(type='LoadAnnotations'), dict(type='PackSegInputs')
    augmented = dict(type='TestTimeAug', transforms=[flips, [label], [pack]])
    cfg.tta_pipeline = [dict(type='LoadImageFromFile'), augmented]
    cfg.dump(root / 'tiny.py')
    return root / 'tiny.py'
