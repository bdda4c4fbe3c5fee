"""The seed of a run, and the state of its random number generators."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import broadcast_object_list
from mmengine.runner import Runner

__all__ = ['common_seed', 'random_state_kept']


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore the state of random number generators at the end of a block.

    They are those of Python, of numpy and of torch on the CPU; those of other
    devices are left alone.

    Examples:
        >>> _ = torch.manual_seed(0)
        >>> with random_state_kept():
        ...     first = torch.rand(())
        >>> bool(torch.rand(()) == first)
        True
    """
    python, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=()):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)


def common_seed(runner: Runner) -> int:
    """Return the seed of the first process.

    With mmengine's ``diff_rank_seed`` each process has another.
    """
    seed = [runner.seed]
    broadcast_object_list(seed)
    return seed[0]
