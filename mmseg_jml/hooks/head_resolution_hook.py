"""Training and prediction without logits of the label's size."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.loops import BaseLoop

from ..head_resolution.stock_code import logit_reader
from ..heads import unwrapped
from ..registry import HOOKS
from ..stand_in import StandIn

__all__ = ['HeadResolutionHook']


@HOOKS.register_module()
class HeadResolutionHook(Hook):
    """Compute losses at the resolution of the decode heads.

    A stock head resizes its logits to the size of the label before it computes
    a loss; these tensors are most of the memory of a light model's training
    step. With this hook a head hands its logits to the losses as they are, and
    the losses upsample them row by row. Logits of the label's size never
    exist; values and gradients are the same up to rounding, ``acc_seg``
    included.

    The losses have to take smaller logits: :class:`JaccardMetricLoss`,
    :class:`JaccardMetricCELoss`, mmseg's ``CrossEntropyLoss`` with softmax
    and every loss whose ``forward`` has an argument ``align_corners`` do. A
    head stays as it is if it has another loss, a pixel sampler, a single
    channel, or a ``loss_by_feat`` of its own that does not call mmseg's. The
    log names each head and, for one that stays, the reason.

    For a loss of two terms the log has both beside the sum, as ``decode.ce``
    and ``decode.jml``. Checkpoints are as without the hook.

    In validation and test the classes of an image are computed row by row from
    the head's logits as well, unless an evaluator, visualizer or hook of the
    run may read ``seg_logits``. Data samples then have the ``pred_sem_seg`` of
    a stock run, and no ``seg_logits``. The log says which it is, and why.

    Examples:
        >>> custom_hooks = [dict(type='mmseg_jml.HeadResolutionHook')]
    """

    def __init__(self) -> None:
        self._training: list[StandIn] = []
        self._prediction: list[StandIn] = []
        self._logged: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Exchange the methods of heads and losses."""
        # importing mmseg.models takes seconds
        from ..head_resolution import losses

        self.after_val(runner)  # a run that failed leaves its methods behind
        self.after_train(runner)
        heads = losses.heads_with_losses(unwrapped(runner.model))
        for name, head in heads.items():
            reason = losses.why_full_resolution(head)
            if reason is None:
                self._training += losses.at_head_resolution(head)
                where = "the head's resolution"
            else:
                where = f"the label's resolution, because {reason}"
            runner.logger.info('%s: losses at %s', name, where)

    def after_train(self, runner: Runner) -> None:
        """Give heads and losses their own methods back."""
        _put_back(self._training)

    def before_val(self, runner: Runner) -> None:
        """Let the model predict classes alone, if nobody needs its logits."""
        self._predict_classes(runner, runner.val_loop, 'val')

    def after_val(self, runner: Runner) -> None:
        """Give the model its own methods back."""
        _put_back(self._prediction)

    def before_test(self, runner: Runner) -> None:
        """Let the model predict classes alone, if nobody needs its logits."""
        self._predict_classes(runner, runner.test_loop, 'test')

    after_test = after_val

    def _predict_classes(
        self, runner: Runner, loop: BaseLoop, stage: str
    ) -> None:
        from ..head_resolution import prediction

        self.after_val(runner)
        segmentor = unwrapped(runner.model)
        reader = logit_reader(runner, loop, stage)
        if reader is None:
            reason = prediction.why_full_prediction(segmentor)
        else:
            reason = f'{reader} may read seg_logits'
        if reason is None:
            self._prediction = prediction.predict_classes(segmentor)
            where = "logits of the head's resolution"
        else:
            where = f'full-size logits, because {reason}'
        message = f'{stage}: classes from {where}'
        if message not in self._logged:
            self._logged.add(message)
            runner.logger.info(message)


def _put_back(handles: list[StandIn]) -> None:
    while handles:
        handles.pop().remove()
