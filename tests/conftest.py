"""Fixtures that every test shares."""

from __future__ import annotations

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
from mmengine.runner import checkpoint
from mmengine.visualization import Visualizer

torch.set_num_threads(1)


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
    """Forbids to load more than weights, as torch does by default.

    OneDL's mmengine falls back to unpickling anything, unless this is set.
    """
    if hasattr(checkpoint, 'get_torch_safe_globals'):
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
            for name in ('nms', 'qnms'):
                library.define(
                    f'{name}(Tensor boxes, Tensor scores, float iou) -> Tensor'
                )
        # for this process alone: others inherit the path, not the operators
        sys.path.append(str(beside))
        import_module('torchvision')
        sys.path.remove(str(beside))
    return library
