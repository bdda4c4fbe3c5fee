"""Replace methods and flags of modules, until they are put back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ['StandIn', 'switched']


class StandIn:
    """Replace methods that one module inherits.

    The module's class becomes a subclass of its own class and of ``methods``.
    Python's method resolution order puts ``methods`` right before the class
    that it is derived from. The module therefore calls the new method, and a
    method that overrides it in a subclass finds the new one by ``super()``.
    Other modules of the same class are not affected.

    Args:
        module (nn.Module): Any module.
        methods (type): A class with the new methods, derived from the class
            whose methods it replaces. It adds no attributes.

    Examples:
        >>> import torch
        >>> class Doubled(nn.ReLU):
        ...     def forward(self, x):
        ...         return 2 * super().forward(x)
        >>> module = nn.ReLU()
        >>> handle = StandIn(module, Doubled)
        >>> module(torch.ones(2))
        tensor([2., 2.])
        >>> handle.remove()
        >>> module(torch.ones(2))
        tensor([1., 1.])
    """

    def __init__(self, module: nn.Module, methods: type) -> None:
        self._module, self._stock = module, type(module)
        stock = self._stock
        bases = (methods,) if issubclass(methods, stock) else (stock, methods)
        kept = ('__module__', '__qualname__', '__doc__')
        module.__class__ = type(
            stock.__name__,
            bases,
            {name: getattr(stock, name) for name in kept},
        )

    def remove(self) -> None:
        """Give the module its own class back."""
        self._module.__class__ = self._stock


@contextmanager
def switched(objects: Iterable, flag: str, *, to: bool) -> Iterator[None]:
    """Set a flag of some objects, and restore it at the end of the block.

    Examples:
        >>> module = nn.ReLU()
        >>> with switched([module], 'training', to=False):
        ...     module.training
        False
        >>> module.training
        True
    """
    changed = [one for one in objects if getattr(one, flag) != to]
    for one in changed:
        setattr(one, flag, to)
    try:
        yield
    finally:
        for one in changed:
            setattr(one, flag, not to)
