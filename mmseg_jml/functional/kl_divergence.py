"""The Kullback-Leibler divergence from soft labels."""

from __future__ import annotations

from dataclasses import replace

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
        align_corners (bool): How logits that are smaller than the target are
            upsampled, as for ``F.interpolate``. Defaults to False.
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

    def divergence(sums: RegionSums) -> Reduction:
        mass = sums.mass.sum()
        scale = 1 / mass.masked_fill(mass == 0, 1)
        value = (sums.cross_entropy.sum() - entropy) * scale
        slopes = torch.zeros_like(sums.by_class[:1])
        slopes[:, 1] = -scale
        return Reduction(value.to(request.dtype), slopes)

    return reduced(request, divergence, impl)[0]
