"""What ``torch.compile`` does not look into."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

__all__ = ['as_one_step', 'is_compiling']


def as_one_step(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hide a function from ``torch.compile``.

    A compiler would unroll a loop over chunks into thousands of operations.
    It is not imported here, since that takes more than a second;
    ``torch.compiler.disable`` as a decorator imports it at once.

    Examples:
        >>> as_one_step(torch.add)(torch.ones(1), 1)
        tensor([2.])
    """
    compiler: Any = sys.modules.get('torch._dynamo')
    if compiler is None or is_compiling() is False:
        return function
    hidden: Callable[..., Any] = compiler.disable(function)
    return hidden


def is_compiling() -> bool | None:
    """Tell whether a compiler traces this call; before torch 2.3 None.

    Examples:
        >>> bool(is_compiling())
        False
    """
    compiler = getattr(torch, 'compiler', None)  # torch 2.1
    answer = getattr(compiler, 'is_compiling', None)
    return None if answer is None else bool(answer())
