"""What ``torch.compile`` does not look into."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

__all__ = ['as_one_step']


def as_one_step(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hide a function from ``torch.compile``.

    A compiler would unroll a loop over chunks into thousands of operations.
    It is imported only where it is in use, since that takes more than a
    second; ``torch.compiler.disable`` as a decorator imports it at once.
    """
    compiler: Any = getattr(torch, 'compiler', None)  # torch 2.1
    is_compiling = getattr(compiler, 'is_compiling', None)  # torch 2.3
    if is_compiling is None:  # whoever compiles has imported this
        compiler = sys.modules.get('torch._dynamo')
    elif not is_compiling():
        compiler = None
    hidden: Callable[..., Any] = function
    if compiler is not None:
        hidden = compiler.disable(function)
    return hidden
