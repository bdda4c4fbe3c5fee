"""Sums over the images of one process or of the global batch."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

__all__ = ['sum_over_images']


def sum_over_images(value: Tensor, dim: int = 0, sync: bool = False) -> Tensor:
    """``value.sum(dim)``, with ``sync`` over the images of all processes.

    The gradient is that of the sum of all processes' losses, and
    DistributedDataParallel divides gradients by the number of processes, so
    that parameters receive exactly the gradient of the global batch's loss.

    Args:
        value (Tensor): One entry per image along ``dim``. Processes may have
            different numbers of images.
        dim (int): The dimension of images. Defaults to 0.
        sync (bool): Whether to sum over processes too; without an
            initialised process group this changes nothing. Defaults to False.

    Returns:
        Tensor: ``value`` without ``dim``, the same on every process.
    """
    value = value.sum(dim)
    if sync and dist.is_available() and dist.is_initialized():
        # not every build of torch has this module
        from torch.distributed.nn.functional import all_reduce

        value = all_reduce(value)
    return value
