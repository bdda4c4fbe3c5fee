"""Kullback-Leibler divergence as an entry of a config."""

from __future__ import annotations

from torch import Tensor, nn

from mmseg_jml.functional import kl_divergence
from mmseg_jml.kernels import Target

__all__ = ['KLDivergenceLoss']


class KLDivergenceLoss(nn.Module):
    """Kullback-Leibler divergence of a student from its teacher.

    The formula is that of :func:`mmseg_jml.functional.kl_divergence`. With a
    temperature T it is multiplied by T squared, so that the gradient does not
    fade as T grows (Hinton, Vinyals and Dean, arXiv 1503.02531).

    mmseg's ``KLDivLoss`` differs: it passes the student's probabilities where
    logarithms belong, averages over classes, and counts ignored pixels.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.0.
        loss_name (str): Name in the log. Defaults to 'loss_kl'.
        use_sigmoid (bool): Whether classes are not exclusive, as in
            one-channel heads. Defaults to False.
        impl (str): Implementation of the sums over pixels. Defaults to
            'auto'.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_kl',
        use_sigmoid: bool = False,
        impl: str = 'auto',
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.use_sigmoid = use_sigmoid
        self.impl = impl
        self._loss_name = loss_name

    @property
    def loss_name(self) -> str:
        """Name of the term in the log."""
        return self._loss_name

    def forward(
        self,
        pred: Tensor,
        target: Tensor | Target,
        weight: Tensor | None = None,
        ignore_index: int | None = 255,
        align_corners: bool = False,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            pred (Tensor): Logits (N, C, *), divided by the temperature of the
                target if it has one.
            target (Tensor | Target): Soft label (N, C, *), hard label (N, *),
                or a target of :mod:`mmseg_jml.kernels`.
            weight (Tensor, optional): (N, *); a pixel of weight 0 does not
                count. Defaults to None.
            ignore_index (int, optional): Label of ignored pixels. Defaults
                to 255.
            align_corners (bool): How a ``pred`` that is smaller than the
                target is upsampled, as for ``F.interpolate``. Defaults to
                False.

        Returns:
            Tensor: A scalar.
        """
        temperature = getattr(target, 'temperature', 1.0)
        return (
            self.loss_weight
            * temperature**2
            * kl_divergence(
                pred,
                target,
                weight,
                ignore_index=ignore_index,
                use_sigmoid=self.use_sigmoid,
                align_corners=align_corners,
                impl=self.impl,
            )
        )
