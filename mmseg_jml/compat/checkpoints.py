"""Weights-only loading of the training checkpoints that mmengine writes."""

from __future__ import annotations

from typing import Any, Callable, Union

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version

from . import training_unpickler

__all__ = ['allow_training_checkpoints']

# As torch.serialization.add_safe_globals takes it.
_Declaration = Union[Callable, 'tuple[Callable, str]']


def allow_training_checkpoints() -> None:
    """Let `torch.load(..., weights_only=True)` read mmengine's checkpoints.

    From 2.6 on, torch loads weights only unless told otherwise. It refuses
    the log history in the checkpoints of mmengine 0.10.7, so that no run can
    be resumed. This function declares to torch the few globals that such a
    checkpoint holds; everything else is refused as before.

    A newer mmengine declares most of them itself. Its list lacks the number
    types of a best score, which `save_best` leaves in every checkpoint; only
    these are declared then.

    Older versions of torch load weights only if they are asked to, as the
    tools do, and hooks that load a teacher. Their unpickler is replaced by
    one that accepts declarations.

    Examples:
        >>> allow_training_checkpoints()
    """
    if digit_version(torch.__version__) < (2, 6):
        training_unpickler.declare(_number_types() + _log_history())
        private: Any = torch.serialization  # where no stub has the name
        private._weights_only_unpickler = training_unpickler
        return
    # Importing this may be what calls this function.
    from mmengine.runner import checkpoint

    declared = _number_types()
    if not hasattr(checkpoint, 'get_torch_safe_globals'):
        declared += _log_history()
    torch.serialization.add_safe_globals(declared)


def _number_types() -> list[_Declaration]:
    codes = np.typecodes['AllInteger'] + np.typecodes['AllFloat'] + '?'
    return [type(np.dtype(code)) for code in codes]


def _log_history() -> list[_Declaration]:
    functions: list[Any] = [
        value.__reduce__()[0] for value in (np.empty(0), np.float64())
    ]
    numpy_functions = [
        (function, f'{package}.multiarray.{function.__name__}')
        for function in functions
        # numpy 1 and numpy 2 write different names.
        for package in ('numpy.core', 'numpy._core')
    ]
    return [
        HistoryBuffer,
        (_history_buffer_method, 'builtins.getattr'),
        np.ndarray,
        np.dtype,
        *numpy_functions,
    ]


def _history_buffer_method(owner: Any, name: str) -> Callable:
    """Replace `getattr`, by which pickle names a method of a class."""
    if owner is not HistoryBuffer or name.startswith('_'):
        raise TypeError(
            'Expected a checkpoint to take attributes of HistoryBuffer only, '
            f'but got {name!r} of {owner!r}. It was not written by mmengine '
            'alone: do not load it unless you trust its source.'
        )
    return getattr(owner, name)
