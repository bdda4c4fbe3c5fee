"""The running statistics of a student's batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Callable

import torch.utils.checkpoint
from mmengine.dist import all_reduce_params
from mmengine.runner import activation_checkpointing
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..stand_in import replaced

__all__ = ['share_statistics', 'statistics_kept']


def share_statistics(segmentor: nn.Module) -> None:
    """Average the running statistics over all processes, in place.

    Without SyncBN each process gathers its own: a checkpoint would hold those
    of the first process alone, and mean teachers would differ.
    """
    buffers = [
        buffer
        for norm in _norms(segmentor)
        if not isinstance(norm, nn.SyncBatchNorm)
        for buffer in norm.buffers()
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
    """
    norms = _norms(segmentor)

    def kept(function: Callable, *args: Any, **options: Any) -> Any:
        @wraps(function)
        def run(*inputs: Any, **keywords: Any) -> Any:
            with replaced(*norms, track_running_stats=False):
                return function(*inputs, **keywords)

        return checkpoint(run, *args, **options)

    # where backbones and mmengine look up checkpoint()
    blocks = replaced(torch.utils.checkpoint, checkpoint=kept)
    models = replaced(activation_checkpointing, checkpoint=kept)
    with blocks, models, replaced(*norms, track_running_stats=False):
        yield


def _norms(segmentor: nn.Module) -> list[nn.Module]:
    return [m for m in segmentor.modules() if isinstance(m, _BatchNorm)]
