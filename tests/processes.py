"""Real processes for distributed tests."""

import gc
import os
import sys
import time
from unittest import mock

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
