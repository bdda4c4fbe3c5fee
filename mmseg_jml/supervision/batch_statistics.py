"""The running statistics of a student's batch normalisation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Callable
from unittest.mock import patch

import torch.utils.checkpoint
from mmengine.dist import all_reduce_params
from mmengine.runner import activation_checkpointing
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

__all__ = ['share_statistics', 'statistics_kept']

# The modules in which backbones and mmengine look up checkpoint().
_CHECKPOINTING = torch.utils.checkpoint, activation_checkpointing


def share_statistics(segmentor: nn.Module) -> None:
    """Average the running statistics over all processes, in place.

    Without SyncBN each process gathers its own: a checkpoint would hold those
    of the first process alone, and mean teachers would differ.

    Args:
        segmentor (nn.Module): The student.
    """
    buffers = [
        buffer
        for module in segmentor.modules()
        if isinstance(module, _BatchNorm)
        and not isinstance(module, nn.SyncBatchNorm)
        for buffer in module.buffers()
        if buffer.is_floating_point()
    ]
    if buffers:
        all_reduce_params(buffers, op='mean')


@contextmanager
def statistics_kept(segmentor: nn.Module) -> Iterator[None]:
    """Leave the running statistics as they are in training mode.

    Batches are still normalised by their own mean and variance. Blocks that
    the backward pass computes again (``with_cp``, or mmengine's
    ``activation_checkpointing``) leave the statistics alone then too.

    Args:
        segmentor (nn.Module): The student.
    """
    norms = [m for m in segmentor.modules() if isinstance(m, _BatchNorm)]

    def kept(function: Callable, *args: Any, **options: Any) -> Any:
        @wraps(function)
        def run(*inputs: Any, **keywords: Any) -> Any:
            with _untracked(norms):
                return function(*inputs, **keywords)

        return checkpoint(run, *args, **options)

    with ExitStack() as stack:
        stack.enter_context(_untracked(norms))
        for module in _CHECKPOINTING:
            stack.enter_context(patch.object(module, 'checkpoint', kept))
        yield


@contextmanager
def _untracked(norms: Iterable[nn.Module]) -> Iterator[None]:
    tracking = [module for module in norms if module.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True
