"""Recording of what passes through a model, by hooks of torch."""

from __future__ import annotations

from collections.abc import Container, Sequence
from contextlib import AbstractContextManager
from difflib import get_close_matches
from functools import partial
from typing import Any

from torch import nn

from ..heads import dense_heads, facts_of, losses_of, uses_sigmoid
from ..stand_in import replaced
from .lesson import StudentOutput

__all__ = ['ModuleOutputs', 'StudentOutputs']


class _Recorder:
    """Record in calls of a whole model, not where code calls a part of it."""

    def __init__(self, model: nn.Module) -> None:
        self._listens = False
        self._found: dict[str, Any] = {}
        # Later passes belong to other hooks, which may run the student again.
        self._handles = [
            model.register_forward_pre_hook(self._start),
            model.register_forward_hook(self._stop, prepend=True),
        ]

    def _start(self, *call: object) -> None:
        self._listens = True
        self._found = {}

    def _stop(self, *call: object) -> None:
        self._listens = False

    def take(self) -> dict[str, Any]:
        """Return what was recorded by name, and forget it."""
        found, self._found = self._found, {}
        return found

    def remove(self) -> None:
        """Stop recording."""
        self.take()
        for handle in self._handles:
            handle.remove()


class ModuleOutputs(_Recorder):
    """Record what named modules return, until it is taken.

    The names are such as 'backbone.layer4'; it is a ValueError if the model
    has no such module. A 'student' is recorded in calls of the whole model
    alone, a 'teacher' always.

    Examples:
        >>> import torch
        >>> model = nn.Sequential(nn.ReLU(), nn.Flatten())
        >>> outputs = ModuleOutputs(model, ['0'], 'student')
        >>> _ = model(torch.tensor([[-1.0, 2.0]]))
        >>> outputs.take()
        {'0': tensor([[0., 2.]])}
        >>> outputs.take()
        {}
    """

    def __init__(
        self, model: nn.Module, names: Sequence[str], whose: str
    ) -> None:
        super().__init__(model)
        self._always = whose == 'teacher'
        modules = [(name, _find(model, name, whose)) for name in names]
        self._handles += [
            module.register_forward_hook(partial(self._keep, name))
            for name, module in modules
        ]

    def _keep(
        self, name: str, module: nn.Module, args: tuple, output: object
    ) -> None:
        if self._listens or self._always:
            self._found[name] = output


def _find(model: nn.Module, name: str, whose: str) -> nn.Module:
    try:
        return model.get_submodule(name)
    except AttributeError:
        names = [found for found, _ in model.named_modules() if found]
        near = get_close_matches(name, names) or names[:3]
        raise ValueError(
            f'Expected features to name a module of the {whose} but got '
            f'{name!r}. Did you mean {" or ".join(map(repr, near))}?'
        ) from None


class StudentOutputs(_Recorder):
    """Record the logits that heads hand to their ``loss_decode``.

    It does so in the segmentor's forward pass, and in :meth:`recording`.
    Logits that are smaller than the label are upsampled if ``full_size`` has
    the name of the output.

    An output has the name of its head in the log: ``decode``, or
    ``decode_0``, ``decode_1`` ... in a cascade, and ``aux`` or ``aux_0``,
    ``aux_1`` ... If a head has several outputs, this is the one that it
    predicts with; the others have their place in their name, such as
    ``decode.1`` and ``decode.2`` beside DANet's ``decode``. Logits that
    several losses share are one output.
    """

    def __init__(
        self, segmentor: nn.Module, full_size: Container[str]
    ) -> None:
        super().__init__(segmentor)
        self._full_size = full_size
        self._heads = dense_heads(segmentor)
        self._handles += [
            loss.register_forward_pre_hook(
                partial(self._keep, name), with_kwargs=True
            )
            for name, head in self._heads.items()
            for loss in losses_of(head)
        ]

    def recording(self) -> AbstractContextManager:
        """Record direct calls of the segmentor's ``loss`` in a block too."""
        return replaced(self, _listens=True)

    def take(self) -> dict[str, StudentOutput]:
        """Return the recorded outputs by name, and forget them."""
        named = {}
        for head, outputs in super().take().items():
            main = facts_of(self._heads[head]).main_output % len(outputs)
            for place, output in enumerate(outputs):
                name = head if place == main else f'{head}.{place}'
                if name in self._full_size:
                    output = output.upsampled()
                named[name] = output
        return named

    def _keep(
        self, name: str, loss: nn.Module, args: tuple, kwargs: dict
    ) -> None:
        if not self._listens:
            return
        logits, label = (*args, *kwargs.values())[:2]
        head = self._heads[name]
        dense = logits.ndim == 4 and logits.shape[1] == head.out_channels
        # a head at its own resolution says how its logits are upsampled
        fits = logits.shape[2:] == label.shape[1:] or 'align_corners' in kwargs
        if not (dense and fits):
            return
        outputs = self._found.setdefault(name, [])
        if all(logits is not output.logits for output in outputs):
            ignore_index = kwargs.get('ignore_index', head.ignore_index)
            align_corners = kwargs.get('align_corners', False)
            sigmoid = uses_sigmoid(head)
            outputs.append(
                StudentOutput(
                    logits, label, ignore_index, sigmoid, align_corners
                )
            )
