"""The Kullback-Leibler divergence from soft labels."""

from __future__ import annotations

import torch
from torch import Tensor

from mmseg_jml.kernels import (
    HardLabel,
    Target,
    region_sums,
)
from mmseg_jml.kernels.reference import pixel_weight, working_dtype

from .inputs import as_target, check_shapes

__all__ = ['kl_divergence']


def kl_divergence(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = 255,
    use_sigmoid: bool = False,
    impl: str = 'auto',
) -> Tensor:
    """Kullback-Leibler divergence KL(y || p), the mean over counted pixels.

    Equal, for a dense label ``y``, to::

        terms = y * (y.log() - logits.log_softmax(1))     # 0 log 0 = 0
        (w * terms.sum(1)).sum() / w.sum()

    It is computed as the cross-entropy minus the entropy of the label, which
    is a constant: the gradient is that of the cross-entropy with a soft
    label.

    Args:
        logits (Tensor): (N, C, *).
        target (Tensor | Target): Hard label (N, *), soft label (N, C, *) or a
            target of :mod:`mmseg_jml.kernels`.
        weight (Tensor, optional): (N, *) pixel weights >= 0. Defaults to
            None.
        ignore_index (int, optional): Label of pixels that do not count.
            Defaults to 255.
        use_sigmoid (bool): A divergence of two outcomes for each class in
            place of one over all classes, and the mean over classes too.
            Defaults to False.
        impl (str): As in :func:`mmseg_jml.kernels.region_sums`. Defaults to
            'auto'.

    Returns:
        Tensor: A scalar, 0 if no pixel counts.

    Raises:
        TypeError: If a dtype does not fit.
        ValueError: If a shape does not fit.

    Examples:
        >>> label = torch.tensor([[[0.5], [0.5]]])
        >>> kl_divergence(torch.tensor([[[0.75], [0.25]]]).log(), label)
        tensor(0.1438)
    """
    check_shapes(logits, _values(target), weight, use_sigmoid, None)
    target, weight = as_target(
        logits, target, weight, ignore_index, use_sigmoid
    )
    sums = region_sums(
        logits,
        target,
        weight,
        use_sigmoid=use_sigmoid,
        with_cross_entropy=True,
        impl=impl,
    )
    entropy = _entropy(logits, target, weight, use_sigmoid)
    mass = sums.mass.sum()
    divergence = sums.cross_entropy.sum() - entropy
    divergence = divergence / mass.masked_fill(mass == 0, 1)
    return divergence.to(working_dtype(logits))


def _values(target: Tensor | Target) -> Tensor:
    if isinstance(target, Tensor):
        return target
    return target.label if isinstance(target, HardLabel) else target.value


@torch.no_grad()
def _entropy(
    logits: Tensor, target: Target, weight: Tensor | None, use_sigmoid: bool
) -> Tensor:
    label = target.dense(logits.shape[1], working_dtype(logits))
    terms = torch.special.entr(label)
    if use_sigmoid:
        terms = terms + torch.special.entr(1 - label)
    scale = pixel_weight(logits, target, weight).unsqueeze(1)
    return (scale * terms).sum(dtype=torch.float64)
