"""The least confidence of pixels to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Union

import torch
from torch import Tensor

from ..functional import class_maxima, largest_of_all, running_threshold
from .options import check_shares, refuse

__all__ = ['Threshold', 'ThresholdOption']

ThresholdOption = Union[float, dict]


class Threshold:
    """Hold a threshold of confidence, fixed or adaptive.

    An adaptive one follows the confidence that classes reach, as in
    "CorrMatch: Label Propagation via Correlation Matching for Semi-Supervised
    Semantic Segmentation" (arXiv 2306.04300). With c the mean, over the
    classes predicted in a batch, of the greatest confidence of each class, a
    batch moves the threshold to ``momentum * threshold + (1 - momentum) * c``.
    The batch is that of all processes.

    Args:
        start (float): The threshold before the first batch, in [0, 1].
            Defaults to 0.85.
        momentum (float, optional): Momentum of an adaptive threshold, in
            [0, 1]. None fixes it at ``start``. Defaults to 0.999.

    Attributes:
        is_adaptive (bool): Whether it changes, and is to be saved and logged.
        value (float | Tensor): The threshold; a scalar tensor if adaptive.

    Examples:
        >>> threshold = Threshold(start=0.5, momentum=0.9)
        >>> confidence = torch.tensor([[0.7, 0.9, 0.8]])
        >>> label = torch.tensor([[0, 0, 1]])
        >>> threshold.update(confidence, label, label >= 0, num_classes=2)
        tensor(0.5350)
    """

    def __init__(
        self, start: float = 0.85, momentum: float | None = 0.999
    ) -> None:
        self._start, self._momentum = start, momentum
        self.value: float | Tensor
        self.is_adaptive = momentum is not None
        self.start(saved=None)

    @classmethod
    def parse(cls, option: ThresholdOption) -> Threshold:
        """Read the option of a hook.

        It is a ValueError unless the option is a number in [0, 1], or has the
        arguments of this class and ``type='adaptive'``.
        """
        if not isinstance(option, Mapping):
            check_shares(threshold=option)
            return cls(option, momentum=None)
        given = {'type': None, 'start': 0.85, 'momentum': 0.999, **option}
        if given.pop('type') != 'adaptive' or len(given) > 2:
            adaptive = "dict(type='adaptive', start=0.85, momentum=0.999)"
            refuse('threshold', f'a number in [0, 1], or {adaptive},', option)
        check_shares(**{f'{key} of threshold': v for key, v in given.items()})
        return cls(**given)

    def update(
        self,
        confidence: Tensor,
        label: Tensor,
        valid: Tensor,
        num_classes: int,
    ) -> float | Tensor:
        """Move an adaptive threshold by the valid pixels of a batch.

        ``confidence`` is that of the predicted classes, ``label``; all are
        (N, H, W). The threshold for this batch is returned.
        """
        if self._momentum is not None:
            maxima = class_maxima(confidence, label, valid, num_classes)
            before = torch.as_tensor(self.value).to(maxima)
            self.value = running_threshold(
                before, largest_of_all(maxima), self._momentum
            )
        return self.value

    def start(self, saved: Tensor | None) -> None:
        """Begin a run; one that resumes has saved an adaptive threshold."""
        self.value = self._start
        if self.is_adaptive:
            first = torch.tensor(float(self._start))
            self.value = first if saved is None else saved
