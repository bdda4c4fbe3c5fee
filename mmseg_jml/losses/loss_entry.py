"""The base class of all losses that a config names."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from mmseg_jml.functional import check_at_least

__all__ = ['LossEntry', 'takes_small_logits']


class LossEntry(nn.Module):
    """A loss with a factor and a name in the log.

    Args:
        loss_weight (float): Factor of the loss, at least 0.
        loss_name (str): Name in the log; a term without "loss" in its name
            is logged but not optimised.
        unknown (Mapping): Options that the constructor does not name.

    Raises:
        TypeError: If there is an unknown option, for which the message
            suggests the one that is meant; if the name is no string.
        ValueError: If the factor is negative.
    """

    # whether it can take the place of a cross-entropy, in --loss too
    takes_labels = True

    def __init__(
        self, loss_weight: float, loss_name: str, unknown: Mapping[str, Any]
    ) -> None:
        super().__init__()
        for name, value in unknown.items():
            raise TypeError(self._explain(name, value))
        check_at_least(0, loss_weight=loss_weight)
        if not isinstance(loss_name, str):
            raise TypeError(
                f'Expected loss_name to be a string, but got {loss_name!r}'
            )
        self.loss_weight = loss_weight
        self._loss_name = loss_name

    @property
    def loss_name(self) -> str:
        """Name of the term in the log."""
        return self._loss_name

    def _explain(self, name: str, value: object) -> str:
        owner = type(self)
        options = {
            key: None
            for cls in owner.__mro__[: owner.__mro__.index(LossEntry)]
            for key, option in inspect.signature(cls).parameters.items()
            if option.kind is not option.VAR_KEYWORD
        }
        close = difflib.get_close_matches(name, options, n=1)
        hint = f'its options are {", ".join(options)}.'
        if close:
            hint = f'did you mean {close[0]!r}?'
        return (
            f'Expected {owner.__name__} to get its own options, but got '
            f'{name}={value!r}; {hint} A key that a merged config leaves '
            'behind goes with _delete_=True'
        )


def takes_small_logits(loss: nn.Module) -> bool:
    """Tell whether a loss upsamples logits that are smaller than the label.

    It does so if its ``forward`` has an argument ``align_corners``.

    Examples:
        >>> takes_small_logits(nn.CrossEntropyLoss())
        False
    """
    forward = getattr(type(loss), 'forward', type(loss).__call__)
    return 'align_corners' in inspect.signature(forward).parameters
