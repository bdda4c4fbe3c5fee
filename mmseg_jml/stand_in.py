"""Other methods for one module, for a while."""

from __future__ import annotations

from torch import nn

__all__ = ['StandIn']


class StandIn:
    """Put methods in place of inherited ones, for one module alone.

    The module's class becomes a subclass of its own class and of ``methods``.
    Where ``methods`` inherits from the class whose methods it replaces,
    Python's method resolution order puts it right before that class: the
    module calls the new method, and an overriding method of a subclass finds
    the new one by ``super()``. Other modules of the same class keep theirs.

    Args:
        module (nn.Module): Any module.
        methods (type): A subclass of one of its classes, which adds no
            attributes.

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
