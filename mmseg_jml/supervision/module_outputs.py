"""Recording of what modules of a model return."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial

from torch import nn

__all__ = ['ModuleOutputs']


class ModuleOutputs:
    """Record what named modules return, until it is taken.

    Args:
        model (nn.Module): The model that has them.
        names (Sequence[str]): Names of modules, such as 'backbone.layer4'.
        whose (str): 'student' or 'teacher', for messages.
        only_within (bool): Whether to record in calls of the whole model
            alone, not where other code calls one of its parts. Defaults to
            False.

    Raises:
        ValueError: If there is no module of a given name.

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
        self,
        model: nn.Module,
        names: Sequence[str],
        whose: str,
        only_within: bool = False,
    ) -> None:
        self._found: dict[str, object] = {}
        self._listens = not only_within
        modules = [(name, _find(model, name, whose)) for name in names]
        self._handles = [
            module.register_forward_hook(partial(self._keep, name))
            for name, module in modules
        ]
        if only_within:
            self._handles += [
                model.register_forward_pre_hook(self._start),
                model.register_forward_hook(self._stop, prepend=True),
            ]

    def _start(self, *call) -> None:
        self._listens = True
        self._found = {}

    def _stop(self, *call) -> None:
        self._listens = False

    def _keep(
        self, name: str, module: nn.Module, args: tuple, output: object
    ) -> None:
        if self._listens:
            self._found[name] = output

    def take(self) -> dict[str, object]:
        """Return what was recorded by module name, and forget it."""
        found, self._found = self._found, {}
        return found

    def remove(self) -> None:
        """Stop recording."""
        self.take()
        for handle in self._handles:
            handle.remove()


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
