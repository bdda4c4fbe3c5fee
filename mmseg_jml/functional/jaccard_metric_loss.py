"""The Jaccard metric loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmseg_jml.kernels import Target

from .loss_parts import loss_parts

__all__ = ['jaccard_metric_loss']


def jaccard_metric_loss(
    logits: Tensor,
    target: Tensor | Target,
    weight: Tensor | None = None,
    **arguments: Any,
) -> Tensor:
    """Compute the Jaccard metric loss, optionally with cross-entropy.

    With the default options, where p is the softmax of ``logits`` and y the
    one-hot or soft label::

        jaccard = 1 - (sum(min(p, y)) + 1) / (sum(max(p, y)) + 1)
        jml = jaccard.mean()              # over the classes that are active
        loss = jml_weight * jml + ce_weight * F.cross_entropy(logits, target)

    where sums run over the pixels of the batch. On hard labels this is the
    soft Jaccard loss. On soft labels it is 0 exactly at p = y, and it is a
    metric, which the soft Jaccard loss is not: "Jaccard Metric Losses:
    Optimizing the Jaccard Index with Soft Labels" (arXiv 2302.05666).

    Ignored pixels and pixels of weight 0 change neither value nor gradient.
    Sums are taken in float64, probabilities in float32 at least.

    Args:
        logits (Tensor): (N, C, *) floats, any number of dimensions.
        target (Tensor | Target): (N, *) integers in [0, C), (N, C, *) floats
            in [0, 1], or a target of :mod:`mmseg_jml.kernels`.
        weight (Tensor, optional): (N, *) >= 0. Defaults to None.
        **arguments: ``options`` to ``impl``, those of :func:`loss_parts`.

    Returns:
        Tensor: A scalar, float32 (float64 for float64 logits).

    Raises:
        TypeError: If a type or dtype does not fit.
        ValueError: If a shape or value does not fit.

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[[2.0, -1.0], [0.0, 1.0]]])
        >>> label = torch.tensor([[0, 1]])
        >>> jaccard_metric_loss(logits, label)
        tensor(0.1125)
    """
    return loss_parts(logits, target, weight, **arguments).loss
