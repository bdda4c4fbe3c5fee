"""Channel-wise divergence as an entry of a config."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmseg_jml.functional import channel_wise_divergence, check_above
from mmseg_jml.kernels import Target, TeacherLogits

from .loss_entry import LossEntry

__all__ = ['ChannelWiseDivergenceLoss']


class ChannelWiseDivergenceLoss(LossEntry):
    """Channel-wise divergence of a student's logits from its teacher's.

    The formula is that of
    :func:`mmseg_jml.functional.channel_wise_divergence`, with the factor T
    squared: "Channel-wise Knowledge Distillation for Dense Prediction" (arXiv
    2011.13256), equations 2 to 4. If the target has a temperature t of its
    own, the option ``temperature`` of :class:`~mmseg_jml.DistillationHook`,
    then T is t times ``temperature``.

    Args:
        temperature (float): Divides the logits of both. Defaults to 4.0.
        loss_weight (float): Factor of the loss. Defaults to 1.0.
        loss_name (str): Name in the log. Defaults to 'loss_cwd'.
        use_sigmoid (bool): Whether the head has sigmoids. It makes no
            difference here, where the softmax is over pixels. Defaults to
            False.
        **unknown: Any other option; the error suggests the one that is meant.

    Raises:
        TypeError: If an option is unknown or of a wrong type.
        ValueError: If the temperature is not above 0 and finite, or
            ``loss_weight`` is negative.

    Examples:
        >>> import torch
        >>> logits = torch.tensor([[[[4.0, 0.0]], [[0.0, 0.0]]]])
        >>> teacher = TeacherLogits(logits)
        >>> loss = ChannelWiseDivergenceLoss()
        >>> loss(logits, teacher)
        tensor(0.)
        >>> loss(torch.zeros(1, 2, 1, 2), teacher)
        tensor(0.8876)
    """

    takes_labels = False

    def __init__(
        self,
        temperature: float = 4.0,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_cwd',
        use_sigmoid: bool = False,
        **unknown: Any,
    ) -> None:
        super().__init__(loss_weight, loss_name, unknown)
        check_above(0, temperature=temperature)
        self.temperature = temperature
        self.use_sigmoid = use_sigmoid

    def forward(
        self,
        pred: Tensor,
        target: Target,
        weight: Tensor | None = None,
        **unused: object,
    ) -> Tensor:
        """Compute the loss of a batch.

        Args:
            pred (Tensor): Logits (N, C, *), already divided by the
                temperature of the target.
            target (TeacherLogits): The teacher's logits.
            weight (Tensor, optional): (N, *); a pixel of weight 0 does not
                count. Defaults to None.
            **unused (object): More arguments that heads pass to losses.

        Returns:
            Tensor: A scalar.

        Raises:
            TypeError: If the target is not a ``TeacherLogits``.
            ValueError: If the numbers of channels differ.
        """
        if not isinstance(target, TeacherLogits):
            raise TypeError(
                'Expected TeacherLogits as the target of '
                'ChannelWiseDivergenceLoss, which compares logits over the '
                f'pixels of a channel, but got {type(target).__name__}. '
                'JaccardMetricCELoss and KLDivergenceLoss take other targets.'
            )
        return self.loss_weight * channel_wise_divergence(
            pred, target, weight, self.temperature
        )
