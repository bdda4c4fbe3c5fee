"""Numbers that come from a device without a host waiting for them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ['Arrival']


class Arrival:
    """Numbers on their way to the host, which goes on meanwhile.

    Args:
        numbers (Tensor): Any; those on a CPU are there at once.
    """

    def __init__(self, numbers: Tensor) -> None:
        self._event, self._host = None, numbers
        if numbers.is_cuda:
            self._host = torch.empty_like(
                numbers, device='cpu', pin_memory=True
            )
            self._host.copy_(numbers, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(numbers.device))

    def is_there(self) -> bool:
        """Whether :meth:`tolist` has something to say."""
        return self._event is None or self._event.query()

    def tolist(self) -> list:
        """The numbers."""
        return self._host.tolist()
