"""Loops over chunks, kept out of a compiler's hands."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

__all__ = ['eager']


def eager(function: Callable) -> Callable:
    """Runs ``function`` as one opaque step under ``torch.compile``.

    A compiler would unroll a loop over chunks into thousands of operations.
    It is imported only where it is in use, since that takes more than a
    second; ``torch.compiler.disable`` as a decorator imports it at once.
    """

    @functools.wraps(function)
    def call(*args, **kwargs):
        run = function
        if torch.compiler.is_compiling():
            run = torch.compiler.disable(function)
        return run(*args, **kwargs)

    return call
