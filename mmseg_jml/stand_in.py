"""Replace methods and attributes of objects, until they are put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ['StandIn', 'replaced']


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
def replaced(*objects: Any, **values: Any) -> Iterator[None]:
    """Set attributes of objects, and restore them at the end of the block.

    Examples:
        >>> module = nn.ReLU()
        >>> with replaced(module, training=False):
        ...     module.training
        False
        >>> module.training
        True
    """
    changed = [
        (one, name, getattr(one, name))
        for one in objects
        for name, value in values.items()
        if getattr(one, name) is not value
    ]
    try:
        for one, name, _ in changed:
            setattr(one, name, values[name])
        yield
    finally:
        for one, name, value in changed:
            setattr(one, name, value)
