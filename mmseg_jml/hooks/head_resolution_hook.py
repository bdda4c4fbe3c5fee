"""Training without logits of the label's size."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..heads import unwrapped
from ..registry import HOOKS

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
        self._resolution = None

    def before_train(self, runner: Runner) -> None:
        """Puts other methods into heads and losses.

        Args:
            runner (Runner): The runner.
        """
        # importing mmseg.models takes seconds
        from .head_resolution import HeadResolution

        self.after_train(runner)  # a run that failed leaves its methods behind
        self._resolution = HeadResolution(unwrapped(runner.model))
        for head, reason in self._resolution.reasons.items():
            runner.logger.info(
                "%s: losses at the %s's resolution%s",
                head,
                'head' if reason is None else 'label',
                '' if reason is None else f', because {reason}',
            )

    def after_train(self, runner: Runner) -> None:
        """Gives heads and losses their own methods back.

        Args:
            runner (Runner): The runner.
        """
        if self._resolution is not None:
            self._resolution.remove()
