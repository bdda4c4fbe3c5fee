"""What a segmentor in training predicts, as its losses get to see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from torch import Tensor, nn

from ..config import OTHER_TASKS

__all__ = [
    'StudentOutput',
    'StudentOutputs',
    'auxiliary_heads',
    'dense_heads',
    'is_main',
    'main_head',
    'named_heads',
    'uses_sigmoid',
]

_POINTS = 'PointHead', 'predicts single points'
# Heads whose prediction is not what they hand to their losses first.
_MAIN_OUTPUT = {'PIDHead': 1, 'IterativeDecodeHead': -1}


class StudentOutput(NamedTuple):
    """Logits of one output, and the label that they were compared with.

    Attributes:
        logits (Tensor): (N, C, H, W), with gradient, of the label's size.
        label (Tensor): (N, H, W) integers.
        ignore_index (int): Label of pixels that do not count.
        use_sigmoid (bool): Whether each class has a sigmoid of its own.
    """

    logits: Tensor
    label: Tensor
    ignore_index: int
    use_sigmoid: bool

    def counted(self) -> Tensor:
        """(N, H, W) floats: 1 where the label counts, else 0."""
        return (self.label != self.ignore_index).float()


class StudentOutputs:
    """Records the logits that heads hand to their ``loss_decode``.

    It does so in the segmentor's forward pass, and in :meth:`recording`.

    An output bears the name that its head has in the log: ``decode``, or
    ``decode_0``, ``decode_1`` ... in a cascade, and ``aux`` or ``aux_0``,
    ``aux_1`` ... A head with several outputs gives this name to the one it
    predicts with, and names the others by their place: ``decode.0``,
    ``decode.2`` ... Logits that several losses share are one output.

    Args:
        segmentor (nn.Module): The student.
    """

    def __init__(self, segmentor: nn.Module) -> None:
        self._heads = dense_heads(segmentor)
        self._recorded: dict[str, list[StudentOutput]] = {}
        self._records = False
        self._handles = [
            loss.register_forward_pre_hook(
                partial(self._record, name), with_kwargs=True
            )
            for name, head in self._heads.items()
            for loss in _losses(head)
        ]
        # Another hook may let the student pass again once this one has ended.
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
        """Records other calls of the segmentor's ``loss``."""
        self._start()
        try:
            yield
        finally:
            self._stop()

    def take(self) -> dict[str, StudentOutput]:
        """Hands over what was recorded, and forgets it."""
        recorded, self._recorded = self._recorded, {}
        named = {}
        for head, outputs in recorded.items():
            main = _main_output(self._heads[head]) % len(outputs)
            for place, output in enumerate(outputs):
                name = head if place == main else f'{head}.{place}'
                named[name] = output
        return named

    def remove(self) -> None:
        """Stops recording."""
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
        if not dense or logits.shape[2:] != label.shape[1:]:
            return
        outputs = self._recorded.setdefault(name, [])
        if all(logits is not output.logits for output in outputs):
            ignore_index = kwargs.get('ignore_index', head.ignore_index)
            outputs.append(
                StudentOutput(logits, label, ignore_index, uses_sigmoid(head))
            )


def named_heads(segmentor: nn.Module) -> dict[str, nn.Module]:
    """The heads of a segmentor by the names that they have in the log.

    Args:
        segmentor (nn.Module): A segmentor.

    Returns:
        dict[str, nn.Module]: Main heads, then auxiliary heads.
    """
    heads = {}
    for name, key in (('decode', 'decode_head'), ('aux', 'auxiliary_head')):
        head = getattr(segmentor, key, None)
        if isinstance(head, nn.ModuleList):
            heads.update((f'{name}_{i}', part) for i, part in enumerate(head))
        elif head is not None:
            heads[name] = head
    return heads


def dense_heads(segmentor: nn.Module) -> dict[str, nn.Module]:
    """The heads that classify pixels and hand all of them to their loss.

    Args:
        segmentor (nn.Module): A segmentor.

    Returns:
        dict[str, nn.Module]: A part of :func:`named_heads`.
    """
    return {
        name: head
        for name, head in named_heads(segmentor).items()
        if _why_not_dense(head) is None
    }


def main_head(segmentor: nn.Module) -> str:
    """The name of the last main head that classifies all pixels.

    Args:
        segmentor (nn.Module): A segmentor.

    Returns:
        str: ``decode`` or, in a cascade, ``decode_0``, ``decode_1`` ...

    Raises:
        ValueError: If there is none, with the reason.
    """
    names = [name for name in dense_heads(segmentor) if is_main(name)]
    if names:
        return names[-1]
    reasons = [
        f'{type(head).__name__}, which {_why_not_dense(head)}'
        for name, head in named_heads(segmentor).items()
        if is_main(name)
    ]
    raise ValueError(
        'Expected a decode head that hands the logits of all pixels to its '
        f'loss_decode but got {"; ".join(reasons) or "no decode head"}.'
    )


def auxiliary_heads(segmentor: nn.Module) -> dict[str, nn.Module]:
    """The auxiliary heads that tell the same classes apart for all pixels.

    Args:
        segmentor (nn.Module): A segmentor.

    Returns:
        dict[str, nn.Module]: A part of :func:`named_heads`.
    """
    return {
        name: head
        for name, head in dense_heads(segmentor).items()
        if not is_main(name) and head.num_classes == segmentor.num_classes
    }


def is_main(name: str) -> bool:
    """Whether an output of this name belongs to a main head."""
    return name.startswith('decode')


def uses_sigmoid(head: nn.Module) -> bool:
    """Whether the classes of a head's logits are not exclusive.

    The first entry of ``loss_decode`` tells. The others do not: mmseg's
    DiceLoss says ``use_sigmoid=True`` beside a softmax by default.

    Args:
        head (nn.Module): A decode head.
    """
    losses = _losses(head)
    said = bool(losses) and getattr(losses[0], 'use_sigmoid', False)
    return said or getattr(head, 'out_channels', None) == 1


def _losses(head: nn.Module) -> list[nn.Module]:
    """The modules under ``loss_decode``, in the head or in one inside it."""
    found = []
    for name, module in head.named_modules():
        if name.rpartition('.')[2] == 'loss_decode':
            is_list = isinstance(module, nn.ModuleList)
            found += list(module) if is_list else [module]
    return found


def _why_not_dense(head: nn.Module) -> str | None:
    classes = {base.__name__ for base in type(head).__mro__}
    for name, reason in (*OTHER_TASKS.items(), _POINTS):
        if name in classes:
            return reason
    return None if _losses(head) else 'has no loss_decode'


def _main_output(head: nn.Module) -> int:
    for base in type(head).__mro__:
        if base.__name__ in _MAIN_OUTPUT:
            return _MAIN_OUTPUT[base.__name__]
    return 0
