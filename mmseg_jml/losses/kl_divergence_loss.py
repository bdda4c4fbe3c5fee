"""Kullback-Leibler divergence as an entry of a config."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmseg_jml.functional import kl_divergence
from mmseg_jml.kernels import Target, check_implementation

from .loss_entry import LossEntry

__all__ = ['KLDivergenceLoss']


class KLDivergenceLoss(LossEntry):
    """Kullback-Leibler divergence of a student from its teacher.

    The formula, with the square of the temperature, is that of
    :func:`mmseg_jml.functional.kl_divergence`.

    mmseg's ``KLDivLoss`` differs: it passes the student's probabilities where
    logarithms belong, averages over classes, and counts ignored pixels.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.0.
        loss_name (str): Name in the log. Defaults to 'loss_kl'.
        use_sigmoid (bool): One sigmoid per class in place of the softmax.
            Defaults to False.
        impl (str): Implementation of the region sums. Defaults to 'auto'.
        **unknown: Any other option; the error suggests the one that is meant.

    Raises:
        TypeError: If an option is unknown or of a wrong type.
        ValueError: If ``loss_weight`` is negative, or ``impl`` names no
            implementation.

    Examples:
        >>> import torch
        >>> label = torch.tensor([[[0.5], [0.5]]])
        >>> KLDivergenceLoss()(torch.tensor([[[3.0], [1.0]]]).log(), label)
        tensor(0.1438)
    """

    takes_labels = False

    def __init__(
        self,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_kl',
        use_sigmoid: bool = False,
        impl: str = 'auto',
        **unknown: Any,
    ) -> None:
        super().__init__(loss_weight, loss_name, unknown)
        check_implementation(impl)
        self.use_sigmoid = use_sigmoid
        self.impl = impl

    def forward(
        self,
        pred: Tensor,
        target: Tensor | Target,
        weight: Tensor | None = None,
        ignore_index: int | None = 255,
        align_corners: bool = False,
    ) -> Tensor:
        """Compute the loss of a batch.

        Arguments and result are those of
        :func:`mmseg_jml.functional.kl_divergence`, with the same defaults.
        """
        return self.loss_weight * kl_divergence(
            pred,
            target,
            weight,
            ignore_index=ignore_index,
            use_sigmoid=self.use_sigmoid,
            align_corners=align_corners,
            impl=self.impl,
        )
