"""Sums over the images of one process or of the global batch."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ['largest_of_all', 'number_of_processes', 'sum_over_images']


def number_of_processes() -> int:
    """Count the processes of the default group; 1 where there is none."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size()
    return 1


@torch.no_grad()
def largest_of_all(value: Tensor) -> Tensor:
    """Take the largest of all processes' values, element by element.

    Args:
        value (Tensor): Of the same shape in all processes.

    Returns:
        Tensor: Of the same shape, without gradient; without a process group
        the value itself.

    Examples:
        >>> largest_of_all(torch.tensor([1.0, 3.0]))
        tensor([1., 3.])
    """
    if number_of_processes() > 1:
        value = value.clone()
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return value


def sum_over_images(
    *values: Tensor, sync: bool = False, dtype: torch.dtype | None = None
) -> tuple[Tensor, ...]:
    """Sum each value over images, with ``sync`` those of all processes.

    The gradient is that of the sum of all processes' losses, and
    DistributedDataParallel divides gradients by the number of processes, so
    that parameters receive exactly the gradient of the global batch's loss.

    Args:
        *values (Tensor): One entry per image along the first dimension.
            Processes may have different numbers of images.
        sync (bool): Whether to sum over processes too, in one collective;
            without a process group this changes nothing. Defaults to False.
        dtype (torch.dtype, optional): Dtype of the sums. None means that of
            the values. Defaults to None.

    Returns:
        tuple[Tensor, ...]: The sums; with ``sync`` all processes have the
        same.

    Examples:
        >>> sum_over_images(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        (tensor([4., 6.]),)
    """
    sums = tuple(value.sum(0, dtype=dtype) for value in values)
    if not sync or not (dist.is_available() and dist.is_initialized()):
        return sums
    # not every build of torch has this module
    from torch.distributed.nn.functional import all_reduce

    flat = all_reduce(torch.cat([value.flatten() for value in sums]))
    parts = flat.split([value.numel() for value in sums])
    return tuple(p.view(value.shape) for p, value in zip(parts, sums))
