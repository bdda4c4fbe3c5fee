"""Which classes a region loss averages."""

from __future__ import annotations

import torch
from torch import Tensor

from mmseg_jml.kernels import HardLabel, RegionSums, Target
from mmseg_jml.kernels.largest import largest_values

from .options import ActiveClasses

__all__ = ['active_classes']


@torch.no_grad()
def active_classes(
    logits: Tensor,
    target: Target,
    weight: Tensor | None,
    sums: RegionSums,
    mode: ActiveClasses,
    threshold: float = 0.01,
    use_sigmoid: bool = False,
) -> Tensor:
    """The classes that count in each image.

    Args:
        logits (Tensor): (N, C, *).
        target (HardLabel | Probabilities | TeacherLogits): The label.
        weight (Tensor, optional): (N, *); pixels of weight 0 are not looked
            at.
        sums (RegionSums): The region sums of the same arguments.
        mode (str | Sequence[int]): 'ALL', 'PRESENT', 'LABEL', 'PROB', 'BOTH'
            or a list of classes, see
            :class:`mmseg_jml.functional.RegionLossOptions`.
        threshold (float): What the largest value over pixels has to exceed.
            Defaults to 0.01.
        use_sigmoid (bool): As for region sums. Defaults to False.

    Returns:
        Tensor: (N, C) bool.

    Raises:
        ValueError: If the list names a class that ``logits`` do not have.
    """
    if mode == 'ALL':
        return torch.ones_like(sums.target, dtype=torch.bool)
    if not isinstance(mode, str):
        return _listed(sums.target, mode)
    if mode in ('PRESENT', 'LABEL'):
        if isinstance(target, HardLabel) and not target.is_smoothed:
            return sums.target > 0
    largest = largest_values(
        logits,
        target,
        weight,
        use_sigmoid=use_sigmoid,
        with_prediction=mode in ('PROB', 'BOTH'),
        with_label=mode != 'PROB',
    )
    return largest > threshold


def _listed(like: Tensor, classes: list[int]) -> Tensor:
    if max(classes) >= like.shape[1]:
        raise ValueError(
            f'Expected active classes below {like.shape[1]}, the number of '
            f'channels of the logits, but got {list(classes)}'
        )
    mask = torch.zeros_like(like, dtype=torch.bool)
    mask[:, list(classes)] = True
    return mask
