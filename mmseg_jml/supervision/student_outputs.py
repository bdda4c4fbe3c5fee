"""The logits that a segmentor hands to its losses in training."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ..heads import dense_heads, losses_of, main_output, uses_sigmoid

__all__ = ['StudentOutput', 'StudentOutputs']


class StudentOutput(NamedTuple):
    """Logits of one output, and the label that they were compared with.

    Attributes:
        logits (Tensor): (N, C, h, w), with gradient, of the label's size or,
            where :class:`HeadResolutionHook` is in use, perhaps smaller.
        label (Tensor): (N, H, W) integers.
        ignore_index (int): Label of pixels that do not count.
        use_sigmoid (bool): Whether each class has a sigmoid of its own.
        align_corners (bool): How smaller logits are upsampled, as for
            ``F.interpolate``.
    """

    logits: Tensor
    label: Tensor
    ignore_index: int
    use_sigmoid: bool
    align_corners: bool = False

    @property
    def size(self) -> torch.Size:
        """The height and width of the label."""
        return self.label.shape[1:]

    @property
    def is_small(self) -> bool:
        """Whether the logits are smaller than the label."""
        return self.logits.shape[2:] != self.size

    def upsampled(self) -> StudentOutput:
        """Return the output with logits of the label's size."""
        if not self.is_small:
            return self
        logits = F.interpolate(
            self.logits,
            self.size,
            mode='bilinear',
            align_corners=self.align_corners,
        )
        return self._replace(logits=logits)

    def counted(self) -> Tensor:
        """Return (N, H, W) floats: 1 where the label counts, else 0."""
        return (self.label != self.ignore_index).float()


class StudentOutputs:
    """Record the logits that heads hand to their ``loss_decode``.

    It does so in the segmentor's forward pass, and in :meth:`recording`.

    An output has the name of its head in the log: ``decode``, or
    ``decode_0``, ``decode_1`` ... in a cascade, and ``aux`` or ``aux_0``,
    ``aux_1`` ... If a head has several outputs, this is the one that it
    predicts with; the others have their place in their name, such as
    ``decode.1`` and ``decode.2`` beside DANet's ``decode``. Logits that
    several losses share are one output.

    Args:
        segmentor (nn.Module): The student.
        full_size (Container[str], optional): Names of the outputs to upsample
            to the label if their logits are smaller. Defaults to None.
    """

    def __init__(
        self, segmentor: nn.Module, full_size: Container[str] | None = None
    ) -> None:
        self._full_size = full_size or ()
        self._heads = dense_heads(segmentor)
        self._recorded: dict[str, list[StudentOutput]] = {}
        self._records = False
        self._handles = [
            loss.register_forward_pre_hook(
                partial(self._record, name), with_kwargs=True
            )
            for name, head in self._heads.items()
            for loss in losses_of(head)
        ]
        # Later passes belong to other hooks, which may run the student again.
        self._handles += [
            segmentor.register_forward_pre_hook(self._start),
            segmentor.register_forward_hook(self._stop, prepend=True),
        ]

    def _start(self, *call) -> None:
        self._records = True

    def _stop(self, *call) -> None:
        self._records = False

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record direct calls of the segmentor's ``loss`` too."""
        self._start()
        try:
            yield
        finally:
            self._stop()

    def take(self) -> dict[str, StudentOutput]:
        """Return the recorded outputs by name, and forget them."""
        recorded, self._recorded = self._recorded, {}
        named = {}
        for head, outputs in recorded.items():
            main = main_output(self._heads[head]) % len(outputs)
            for place, output in enumerate(outputs):
                name = head if place == main else f'{head}.{place}'
                if name in self._full_size:
                    output = output.upsampled()
                named[name] = output
        return named

    def remove(self) -> None:
        """Stop recording."""
        self.take()
        for handle in self._handles:
            handle.remove()

    def _record(
        self, name: str, loss: nn.Module, args: tuple, kwargs: dict
    ) -> None:
        if not self._records:
            return
        logits, label = (*args, *kwargs.values())[:2]
        head = self._heads[name]
        dense = logits.ndim == 4 and logits.shape[1] == head.out_channels
        # a head at its own resolution says how its logits are upsampled
        fits = logits.shape[2:] == label.shape[1:] or 'align_corners' in kwargs
        if not (dense and fits):
            return
        outputs = self._recorded.setdefault(name, [])
        if all(logits is not output.logits for output in outputs):
            ignore_index = kwargs.get('ignore_index', head.ignore_index)
            outputs.append(
                StudentOutput(
                    logits,
                    label,
                    ignore_index,
                    uses_sigmoid(head),
                    kwargs.get('align_corners', False),
                )
            )
