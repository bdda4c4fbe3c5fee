"""Detection of the optimizer's steps."""

from __future__ import annotations

from mmengine.optim import BaseOptimWrapper

__all__ = ['StepWatch']


class StepWatch:
    """Tell whether the optimizer has moved the weights in an iteration.

    It does not while gradients are accumulated, nor where AMP's scaler finds
    gradients that are not finite. A hook on the optimizer detects both. Where
    optimizers take no such hook, as before torch 2.0, skipped steps count; so
    do those of fused optimizers, which skip them on the GPU.
    """

    def __init__(self, optim_wrapper: BaseOptimWrapper) -> None:
        self._wrapper, self._moved = optim_wrapper, False
        optimizer = getattr(optim_wrapper, 'optimizer', None)
        watch = getattr(optimizer, 'register_step_post_hook', None)
        self._handle = watch and watch(self._note)

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
