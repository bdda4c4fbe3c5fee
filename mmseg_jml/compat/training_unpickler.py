"""An unpickler for training checkpoints, for torch below 2.6.

There, weights-only loading has no list that a package could add to, or one
that takes no functions. This module has the two names that `torch.load` uses
of its own unpickler, `Unpickler` and `load`, and is as strict: it builds only
what was declared by name.
"""

from __future__ import annotations

import pickle
from _compat_pickle import IMPORT_MAPPING
from collections import OrderedDict
from typing import Any, BinaryIO, ClassVar

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor

__all__ = ['Unpickler', 'declare', 'load']


def _bytes(text: str, encoding: str) -> bytes:
    """Return the bytes that pickle stores as text up to protocol 2."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'Unsupported encoding: {encoding!r}')
    return text.encode('latin1')


# What may be called or built, by the name that files use for it.
_DECLARED: dict[str, Any] = {'_codecs.encode': _bytes}
# Types whose state a file may set. Classes and functions are none of them.
_HOLDS_STATE = (Tensor, OrderedDict, HistoryBuffer, np.ndarray, np.dtype)


def declare(things: list) -> None:
    """Allow files to use more than torch's own classes.

    Args:
        things (list): Classes and functions, as for
            `torch.serialization.add_safe_globals`: each alone, or in a pair
            with the name that files use for it.
    """
    for thing in things:
        if isinstance(thing, tuple):
            thing, name = thing
        else:
            name = f'{thing.__module__}.{thing.__qualname__}'
        _DECLARED[name] = thing


def _declared() -> dict[str, Any]:
    own = torch._weights_only_unpickler._get_allowed_globals()
    return {**own, **_DECLARED}


# The unpickler written in Python, since its steps can be overridden.
class Unpickler(pickle._Unpickler):
    """Build what is declared, and refuse everything else by name."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]  # where load() collects objects

    def find_class(self, module: str, name: str) -> Any:
        """Return what is declared under a name."""
        full_name = f'{IMPORT_MAPPING.get(module, module)}.{name}'
        declared = _declared()
        if full_name not in declared:
            raise pickle.UnpicklingError(f'Unsupported global: {full_name}')
        return declared[full_name]

    def load_reduce(self) -> None:
        """Call only what is declared, not what another call has returned."""
        function = self.stack[-2]
        if not any(function is thing for thing in _declared().values()):
            raise pickle.UnpicklingError(f'Unsupported call: {function!r}')
        super().load_reduce()  # type: ignore[misc]  # the stub lacks it

    def load_build(self) -> None:
        """Set the state of an object, but not that of a class."""
        if not isinstance(self.stack[-2], _HOLDS_STATE):
            raise pickle.UnpicklingError(f'Unsupported: {self.stack[-2]!r}')
        super().load_build()  # type: ignore[misc]  # the stub lacks it

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build


def load(file: BinaryIO, *, encoding: str = 'bytes') -> Any:
    """Read one object from a file in the format before torch 1.6.

    Args:
        file (BinaryIO): An open file.
        encoding (str): How strings of Python 2 are read. Defaults to
            'bytes'.

    Returns:
        Any: The object.
    """
    return Unpickler(file, encoding=encoding).load()
