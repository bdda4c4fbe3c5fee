"""An unpickler for training checkpoints, for torch below 2.6.

Weights-only loading has no list there that a package could add to, or none
that takes functions. This module has the two names that `torch.load` looks
for in its own unpickler, `Unpickler` and `load`, and is as strict: it knows
what it may build by name, and looks nothing else up.
"""

from __future__ import annotations

import pickle
from _compat_pickle import IMPORT_MAPPING
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor

__all__ = ['Unpickler', 'declare', 'load']


def _bytes(text: str, encoding: str) -> bytes:
    """Return the bytes that pickle writes as a text, to protocol 2."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'Unsupported encoding: {encoding!r}')
    return text.encode('latin1')


# What may be called, or built, by the name that a file uses for it.
_DECLARED: dict[str, Any] = {'_codecs.encode': _bytes}
# Whose state a file may set. A class or a function is none of these.
_HOLDS_STATE = (Tensor, OrderedDict, HistoryBuffer, np.ndarray, np.dtype)


def declare(things: list) -> None:
    """Let files name more than torch's own classes.

    Args:
        things (list): Classes and functions, as
            `torch.serialization.add_safe_globals` takes them: each by
            itself, or in a pair with the name that files use for it.
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


# The one that is written in Python: its steps can be replaced.
class Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """Build what is declared, and refuse all else by its name."""

    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def find_class(self, module: str, name: str) -> Any:
        """Return what is declared under a name."""
        full_name = f'{IMPORT_MAPPING.get(module, module)}.{name}'
        declared = _declared()
        if full_name not in declared:
            raise pickle.UnpicklingError(f'Unsupported global: {full_name}')
        return declared[full_name]

    def load_reduce(self) -> None:
        """Call what is declared, but not what a call has returned."""
        function = self.stack[-2]
        if not any(function is thing for thing in _declared().values()):
            raise pickle.UnpicklingError(f'Unsupported call: {function!r}')
        super().load_reduce()

    def load_build(self) -> None:
        """Set the state of an object, not that of a class."""
        if not isinstance(self.stack[-2], _HOLDS_STATE):
            raise pickle.UnpicklingError(f'Unsupported: {self.stack[-2]!r}')
        super().load_build()

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
