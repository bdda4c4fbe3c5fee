"""The Kullback-Leibler divergence from soft labels."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from mmseg_jml.kernels import (
    Reduction,
    RegionSums,
    Target,
    label_entropy,
    reduced,
)

from .inputs import make_request

__all__ = ['kl_divergence']


def kl_divergence(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = 255,
    use_sigmoid: bool = False,
    align_corners: bool = False,
    impl: str = 'auto',
) -> Tensor:
    """Compute the divergence KL(y || p), the mean over counted pixels.

    Equal, for a dense label ``y``, to::

        terms = y * (y.log() - logits.log_softmax(1))     # 0 log 0 = 0
        (w * terms.sum(1)).sum() / w.sum()

    It is computed as the cross-entropy minus the entropy of the label, which
    is a constant: the gradient is that of the cross-entropy with a soft
    label. For a target with a temperature T the result is multiplied by T
    squared, so that the gradient does not fade as T grows: "Distilling the
    Knowledge in a Neural Network" (arXiv 1503.02531), section 2.1.

    The other arguments and the errors are those of :func:`loss_parts`, with
    the same defaults.

    Args:
        logits (Tensor): (N, C, *), already divided by the temperature of the
            target if it has one.
        use_sigmoid (bool): Whether each class has a sigmoid. The divergence
            is then one between two outcomes per class, and the mean is over
            classes too. Defaults to False.

    Returns:
        Tensor: A scalar, 0 if no pixel counts.

    Examples:
        >>> label = torch.tensor([[[0.5], [0.5]]])
        >>> kl_divergence(torch.tensor([[[0.75], [0.25]]]).log(), label)
        tensor(0.1438)
    """
    request = make_request(
        logits,
        target,
        weight,
        ignore_index=ignore_index,
        use_sigmoid=use_sigmoid,
        align_corners=align_corners,
        check=False,
    )
    request = replace(request, with_cross_entropy=True)
    entropy = label_entropy(request)
    factor = getattr(request.target, 'temperature', 1.0) ** 2

    def divergence(sums: RegionSums) -> Reduction:
        mass = sums.mass.sum()
        scale = factor / mass.masked_fill(mass == 0, 1)
        value = (sums.cross_entropy.sum() - entropy) * scale
        slopes = torch.zeros_like(sums.by_class[:1])
        slopes[:, 1] = -scale
        return Reduction(value.to(request.dtype), slopes)

    return cast(Tensor, reduced(request, divergence, impl)[0])
