"""The confidence from which on a pixel counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Union

import torch
from torch import Tensor

from ..functional.distributed import largest_of_all
from ..functional.pseudo_labels import class_maxima, running_threshold
from .options import check_shares

__all__ = ['Threshold', 'ThresholdOption']

ThresholdOption = Union[float, dict]


class Threshold:
    """Keep a confidence, or let it follow the one that classes reach.

    With a momentum each batch moves the threshold towards the mean, over the
    classes that were predicted, of the greatest confidence of each: CorrMatch
    (arXiv 2306.04300). Processes see the classes of one another.

    Args:
        start (float): The threshold before the first batch, in [0, 1].
            Defaults to 0.85.
        momentum (float, optional): What it keeps of itself in each batch, in
            [0, 1]. None means all of it, without a look. Defaults to 0.999.

    Attributes:
        value (float | Tensor): The threshold; a scalar where it moves.

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
        self.start()

    @classmethod
    def parse(cls, option: ThresholdOption) -> Threshold:
        """Read the option of a hook.

        Args:
            option (float | dict): A number in [0, 1], or the arguments of
                this class with ``type='adaptive'``.

        Returns:
            Threshold: The threshold.

        Raises:
            ValueError: If it is neither.
        """
        if not isinstance(option, Mapping):
            check_shares(threshold=option)
            return cls(option, momentum=None)
        given = {'type': None, 'start': 0.85, 'momentum': 0.999, **option}
        if given.pop('type') != 'adaptive' or len(given) > 2:
            raise ValueError(
                'Expected threshold to be a number in [0, 1], or '
                "dict(type='adaptive', start=0.85, momentum=0.999), but got "
                f'{option!r}.'
            )
        check_shares(**{f'{key} of threshold': v for key, v in given.items()})
        return cls(**given)

    def update(
        self,
        confidence: Tensor,
        label: Tensor,
        valid: Tensor,
        num_classes: int,
    ) -> float | Tensor:
        """Look at a batch, if the threshold moves.

        Args:
            confidence (Tensor): (N, H, W), of the predicted classes.
            label (Tensor): (N, H, W) integers, the predicted classes.
            valid (Tensor): (N, H, W) bool, the pixels that count.
            num_classes (int): Number of classes.

        Returns:
            float | Tensor: The threshold for this batch.
        """
        if self._momentum is not None:
            maxima = class_maxima(confidence, label, valid, num_classes)
            self.value = running_threshold(
                self.value.to(maxima), largest_of_all(maxima), self._momentum
            )
        return self.value

    def state(self) -> dict[str, Tensor]:
        """Return what a run has to save and log: nothing if it is fixed."""
        return {} if self._momentum is None else dict(threshold=self.value)

    def start(self, saved: Tensor | None = None) -> None:
        """Begin a run.

        Args:
            saved (Tensor, optional): Where it stood in the run that goes on.
                Defaults to None.
        """
        self.value: float | Tensor = self._start
        if self._momentum is not None:
            first = torch.tensor(float(self._start))
            self.value = first if saved is None else saved
