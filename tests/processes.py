"""Real processes for distributed tests."""

import gc
import os
import sys
import time
from unittest import mock

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

TIMEOUT_S = 120


def run_in_processes(function, folder, count=2):
    """Calls ``function(rank)`` in a gloo group of ``count`` processes.

    They see no GPU. An error in one of them fails the test, and so does one
    that hangs.
    """
    arguments = function, count, str(folder / 'store')
    with mock.patch.dict(os.environ, CUDA_VISIBLE_DEVICES=''):
        context = mp.spawn(_enter, arguments, count, join=False)
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while not context.join(timeout=1):
            if time.monotonic() > deadline:
                raise TimeoutError(f'{function.__name__} hangs')
    finally:
        for process in context.processes:
            process.kill()


def _enter(rank, function, count, path):
    gc.freeze()  # see tests/conftest.py
    os.environ['LOCAL_RANK'] = str(rank)  # mmengine reads it
    if 'mmengine.config' in sys.modules:
        sys.modules['mmengine.config'].Config.pretty_text = ''
    dist.init_process_group(
        'gloo', init_method=f'file://{path}', rank=rank, world_size=count
    )
    function(rank)
    # A reducer that outlives its group waits for it for ever.
    gc.collect()
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)


def distribute(cfg, **options):
    """Lets a run wrap its model as `dist_train.sh` does, on CPUs."""
    cfg.launcher = 'pytorch'
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', device_ids=None, **options
    )
    return cfg


def differs(value) -> bool:
    """Whether one of two processes has another value."""
    gathered = [None, None]
    dist.all_gather_object(gathered, value)
    return gathered[0] != gathered[1]


def assert_same_everywhere(*states):
    """Compares tensors of this process with those of the first, bit by bit."""
    for state in states:
        for name, value in state.items():
            first = value.detach().clone()
            dist.broadcast(first, 0)
            assert torch.equal(first, value), name


def assert_averaged(found, alone):
    """DDP's gradients are the mean of those of the processes by themselves."""
    assert {name.removeprefix('module.') for name in found} == set(alone)
    for name, gradient in alone.items():
        mean = gradient.clone()
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
        torch.testing.assert_close(found[f'module.{name}'], mean)
