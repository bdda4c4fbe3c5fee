"""The kinds of runs that users set up, of which hooks must hold up in each."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS

QUICK = ['accumulation', 'AMP', 'with_cp', 'EMAHook', 'FlexibleRunner']
KINDS = ['compile', *QUICK]

# mmengine's, and what torch says of its own compiler and of checkpointing
quiet = [
    pytest.mark.filterwarnings('ignore::DeprecationWarning'),
    pytest.mark.filterwarnings(
        'ignore:.*(use_reentrant|non-leaf|\\.grad attrib|None of the inputs)'
    ),
]


@OPTIM_WRAPPERS.register_module()
class BFloat16Wrapper(OptimWrapper):
    """AmpOptimWrapper, which refuses to run on a CPU."""

    @contextmanager
    def optim_context(self, model):
        with torch.autocast(get_device(), torch.bfloat16):
            yield


def change(cfg: Config, kind: str) -> None:
    """Sets a run up in one of these ways."""
    if kind == 'accumulation':
        cfg.optim_wrapper.accumulative_counts = 2
    elif kind == 'AMP':
        cfg.optim_wrapper.type = 'BFloat16Wrapper'
    elif kind == 'compile':
        # what it compiled for an earlier test knows nothing of new hooks
        torch._dynamo.reset()
        cfg.compile = dict(backend='eager')
    elif kind == 'with_cp':
        cfg.model.backbone.with_cp = True
    elif kind == 'EMAHook':
        cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.5))
    elif kind == 'FlexibleRunner':
        cfg.runner_type = kind
        cfg.env_cfg = dict(dist_cfg=dict(backend='gloo'))
