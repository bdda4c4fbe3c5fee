"""The confidence from which on a pixel counts."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Union

import torch
from torch import Tensor

from ..functional.distributed import largest_of_all
from ..functional.pseudo_labels import class_maxima, running_threshold
from .options import check_shares

__all__ = ['AdaptiveThreshold', 'ThresholdOption', 'parse_threshold']

ThresholdOption = Union[float, dict]


class AdaptiveThreshold:
    """Follow the confidence that the predicted classes reach.

    Each batch moves the threshold towards the mean, over the classes that
    were predicted, of the greatest confidence of each: CorrMatch (arXiv
    2306.04300). Processes see the classes of one another.

    Args:
        start (float): The threshold before the first batch, in [0, 1].
            Defaults to 0.85.
        momentum (float): What it keeps of itself in each batch, in [0, 1].
            Defaults to 0.999.

    Attributes:
        value (Tensor): The threshold, a scalar.

    Examples:
        >>> threshold = AdaptiveThreshold(start=0.5, momentum=0.9)
        >>> confidence = torch.tensor([[0.7, 0.9, 0.8]])
        >>> label = torch.tensor([[0, 0, 1]])
        >>> threshold.update(confidence, label, label >= 0, num_classes=2)
        tensor(0.5350)
    """

    def __init__(self, start: float = 0.85, momentum: float = 0.999) -> None:
        names = 'start of threshold', 'momentum of threshold'
        check_shares(**dict(zip(names, (start, momentum))))
        self._momentum = momentum
        self.value = torch.tensor(float(start))

    def update(
        self,
        confidence: Tensor,
        label: Tensor,
        valid: Tensor,
        num_classes: int,
    ) -> Tensor:
        """Look at a batch.

        Args:
            confidence (Tensor): (N, H, W), of the predicted classes.
            label (Tensor): (N, H, W) integers, the predicted classes.
            valid (Tensor): (N, H, W) bool, the pixels that count.
            num_classes (int): Number of classes.

        Returns:
            Tensor: The threshold for this batch.
        """
        maxima = class_maxima(confidence, label, valid, num_classes)
        self.value = running_threshold(
            self.value.to(maxima), largest_of_all(maxima), self._momentum
        )
        return self.value


def parse_threshold(option: ThresholdOption) -> float | AdaptiveThreshold:
    """Read the option of a hook.

    Args:
        option (float | dict): A number in [0, 1], or the arguments of
            :class:`AdaptiveThreshold` with ``type='adaptive'``.

    Returns:
        float | AdaptiveThreshold: The threshold.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(option, Mapping):
        options = dict(option)
        if options.pop('type', None) == 'adaptive' and options.keys() <= {
            'start',
            'momentum',
        }:
            return AdaptiveThreshold(**options)
    elif isinstance(option, Real):
        check_shares(threshold=option)
        return option
    raise ValueError(
        'Expected threshold to be a number in [0, 1], or '
        "dict(type='adaptive', start=0.85, momentum=0.999), but got "
        f'{option!r}.'
    )
