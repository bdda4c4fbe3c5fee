"""Training without logits of the label's size."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ..registry import HOOKS
from .student_outputs import named_heads

__all__ = ['HeadResolutionHook']


@HOOKS.register_module()
class HeadResolutionHook(Hook):
    """Computes losses at the resolution of the decode heads.

    A stock head resizes its logits to the size of the label before it computes
    a loss; these tensors are most of the memory of a light model's training
    step. With this hook a head hands its logits to the losses as they are, and
    the losses upsample them row by row: values and gradients are the same up
    to rounding, ``acc_seg`` included, and logits of the label's size never
    exist.

    It needs losses that take smaller logits: :class:`JaccardMetricLoss`,
    :class:`JaccardMetricCELoss` and mmseg's ``CrossEntropyLoss`` with softmax.
    A head with another loss, a pixel sampler or a ``loss_by_feat`` of its own
    that does not call mmseg's stays as it is. The log names each head, and the
    reason if it is one of these.

    For a loss of two terms the log has both beside the sum, as ``decode.ce``
    and ``decode.jml``. Only training changes: validation, test and checkpoints
    are as without the hook.

    Examples:
        >>> custom_hooks = [dict(type='mmseg_jml.HeadResolutionHook')]
    """

    def __init__(self) -> None:
        self._handles: list = []

    def before_train(self, runner: Runner) -> None:
        """Puts other methods into heads and losses.

        Args:
            runner (Runner): The runner.
        """
        # importing mmseg.models takes seconds
        from .head_resolution import at_head_resolution, why_full_resolution

        self._remove()  # a run that failed leaves its methods behind
        segmentor = runner.model
        if is_model_wrapper(segmentor):
            segmentor = segmentor.module
        for name, head in _heads_with_losses(segmentor).items():
            reason = why_full_resolution(head)
            if reason is None:
                self._handles += at_head_resolution(head)
            runner.logger.info(
                "%s (%s): losses at the %s's resolution%s",
                name,
                type(head).__name__,
                'head' if reason is None else 'label',
                '' if reason is None else f', because {reason}',
            )

    def after_train(self, runner: Runner) -> None:
        """Gives heads and losses their own methods back.

        Args:
            runner (Runner): The runner.
        """
        self._remove()

    def _remove(self) -> None:
        while self._handles:
            self._handles.pop().remove()


def _heads_with_losses(segmentor: nn.Module) -> dict[str, nn.Module]:
    """All heads by their names in the log; K-Net's is inside another one."""
    found = {}
    for name, head in named_heads(segmentor).items():
        inner = {
            f'{name}.{path}'.rstrip('.'): module
            for path, module in head.named_modules()
            if hasattr(module, 'loss_decode')
        }
        found.update(inner or {name: head})
    return found
