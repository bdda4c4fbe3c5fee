"""Channel-wise divergence as an entry of a config."""

from __future__ import annotations

from torch import Tensor, nn

from mmseg_jml.functional import channel_wise_divergence
from mmseg_jml.kernels import Target, TeacherLogits

__all__ = ['ChannelWiseDivergenceLoss']


class ChannelWiseDivergenceLoss(nn.Module):
    """Channel-wise divergence of a student's logits from its teacher's.

    The formula is that of
    :func:`mmseg_jml.functional.channel_wise_divergence`, the factor T squared
    included (arXiv 2011.13256, equations 2 to 4). A target with a temperature
    t of its own, such as that of ``temperature`` in
    :class:`~mmseg_jml.DistillationHook`, is no second factor: T is then t
    times ``temperature``.

    Args:
        temperature (float): Divides the logits of both. Defaults to 4.0.
        loss_weight (float): Factor of the loss. Defaults to 1.0.
        loss_name (str): Name in the log. Defaults to 'loss_cwd'.
        use_sigmoid (bool): Whether the head has sigmoids, which makes no
            difference: it is the pixels that exclude one another. Defaults to
            False.

    Raises:
        ValueError: If the temperature is not above 0.

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

    def __init__(
        self,
        temperature: float = 4.0,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_cwd',
        use_sigmoid: bool = False,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(
                f'Expected temperature above 0 but got {temperature!r}.'
            )
        self.temperature = temperature
        self.loss_weight = loss_weight
        self.use_sigmoid = use_sigmoid
        self._loss_name = loss_name

    @property
    def loss_name(self) -> str:
        """Name of the term in the log."""
        return self._loss_name

    def forward(
        self,
        pred: Tensor,
        target: Target,
        weight: Tensor | None = None,
        **unused: object,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            pred (Tensor): Logits (N, C, *), divided by the temperature of the
                target.
            target (TeacherLogits): The teacher's logits.
            weight (Tensor, optional): (N, *); a pixel of weight 0 does not
                count. Defaults to None.
            **unused (object): More of what heads pass to losses.

        Returns:
            Tensor: A scalar.

        Raises:
            TypeError: If the target is no teacher's logits.
            ValueError: If it has other channels.
        """
        if not isinstance(target, TeacherLogits):
            raise TypeError(
                'Expected TeacherLogits as the target of '
                'ChannelWiseDivergenceLoss, which compares logits over the '
                f'pixels of a channel, but got {type(target).__name__}. '
                'JaccardMetricCELoss and KLDivergenceLoss take other targets.'
            )
        own = target.temperature
        return self.loss_weight * channel_wise_divergence(
            pred if own == 1 else pred * own,
            target.value,
            weight,
            own * self.temperature,
        )
