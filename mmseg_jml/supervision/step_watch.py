"""Detection of the optimizer's steps."""

from __future__ import annotations

import torch
from mmengine.optim import BaseOptimWrapper

__all__ = ['StepWatch']


class StepWatch:
    """Tell whether the optimizer has moved the weights in an iteration.

    It does not while gradients are accumulated, nor where AMP's scaler finds
    gradients that are not finite. A hook on the optimizer detects both. Where
    such hooks do not run, as in torch 2.1 once anything was compiled, skipped
    steps count; so do those of fused optimizers, which skip them on the GPU.
    """

    def __init__(self, optim_wrapper: BaseOptimWrapper) -> None:
        self._wrapper, self._moved = optim_wrapper, False
        optimizer = getattr(optim_wrapper, 'optimizer', None)
        watch = getattr(optimizer, 'register_step_post_hook', None)
        self._handle = None
        if watch is not None and _hooks_run():
            self._handle = watch(self._note)

    def _note(self, *step: object) -> None:
        self._moved = True

    def taken(self) -> bool:
        """Return whether there was a step since the last call."""
        if self._handle is None:
            asked = getattr(self._wrapper, 'should_update', None)
            return asked is None or asked()  # DeepSpeed accumulates by itself
        moved, self._moved = self._moved, False
        return moved

    def remove(self) -> None:
        """Stop watching."""
        if self._handle is not None:
            self._handle.remove()


def _hooks_run() -> bool:
    """Try whether optimizers run their hooks."""
    runs = []
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    optimizer.register_step_post_hook(lambda *step: runs.append(step))
    optimizer.step()
    return bool(runs)
