"""The seed of a run, and the state of the generators that it draws from."""

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
    """Let random numbers go on afterwards as if nothing had been drawn.

    Of Python, numpy and torch's processor generator; those of other devices
    are left alone.

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
    """Return the seed of the first process; see `diff_rank_seed`."""
    seed = [runner.seed]
    broadcast_object_list(seed)
    return seed[0]
