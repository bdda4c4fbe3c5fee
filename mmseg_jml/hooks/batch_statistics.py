"""The running statistics of a student's batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.dist import all_reduce_params
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ['share_statistics', 'statistics_kept']


def share_statistics(segmentor: nn.Module) -> None:
    """Averages the statistics over all processes.

    Without SyncBN each process has its own, of which only the first's would
    be in a checkpoint, and teachers would differ.

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
    """Lets images pass in training mode without a trace in the statistics.

    Args:
        segmentor (nn.Module): The student.
    """
    tracking = [
        module
        for module in segmentor.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True
