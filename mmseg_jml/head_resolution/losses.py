"""Losses of mmseg's decode heads without logits of the label's size."""

from __future__ import annotations

import inspect

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from torch import nn

from ..heads import named_heads
from ..losses import JaccardMetricLoss
from ..losses.loss_entry import takes_small_logits
from ..stand_in import StandIn
from .loss_methods import (
    CrossEntropyWithParts,
    HeadWithSmallLogits,
    LossWithParts,
    loss_modules,
)
from .stock_code import fingerprint

__all__ = ['HeadResolution', 'at_head_resolution', 'why_full_resolution']

# The code of BaseDecodeHead.loss_by_feat in mmsegmentation 1.2.2 and in
# onedl-mmsegmentation 1.4.2, for which HeadWithSmallLogits was written.
KNOWN = {'504da0577c44b07e'}


class HeadResolution:
    """Let the heads of a segmentor compute losses from logits as they are.

    The segmentor is given without its wrapper. ``reasons`` tells for each
    head, such as 'decode (PSPHead)', why it stays as it is; None stands for a
    head that takes part.
    """

    def __init__(self, segmentor: nn.Module) -> None:
        self.reasons: dict[str, str | None] = {}
        self._handles: list[StandIn] = []
        for name, head in _heads_with_losses(segmentor).items():
            reason = why_full_resolution(head)
            self.reasons[f'{name} ({type(head).__name__})'] = reason
            if reason is None:
                self._handles += at_head_resolution(head)

    def remove(self) -> None:
        """Give heads and losses their own methods back."""
        while self._handles:
            self._handles.pop().remove()


def at_head_resolution(head: nn.Module) -> list[StandIn]:
    """Let a head compute losses from its logits as they are, until removed."""
    handles = [StandIn(head, HeadWithSmallLogits)]
    for loss in loss_modules(head):
        if type(loss).forward is JaccardMetricLoss.forward:
            handles.append(StandIn(loss, LossWithParts))
        elif type(loss) is CrossEntropyLoss:
            handles.append(StandIn(loss, CrossEntropyWithParts))
    return handles


def why_full_resolution(head: nn.Module) -> str | None:
    """Return why a head's losses need logits of the label's size, or None."""
    if not isinstance(head, BaseDecodeHead):
        return 'it is no BaseDecodeHead'
    if not _calls_stock_method(head):
        return 'it has a loss_by_feat of its own'
    if fingerprint(BaseDecodeHead.loss_by_feat) not in KNOWN:
        return "mmseg's loss_by_feat is not that of mmsegmentation 1.2.2"
    if head.sampler is not None:
        return f'{type(head.sampler).__name__} samples its pixels'
    if head.out_channels == 1:
        return 'it has a single channel, which costs little'
    reasons = (_why_full_logits(loss, head) for loss in loss_modules(head))
    return next(filter(None, reasons), None)


def _heads_with_losses(segmentor: nn.Module) -> dict[str, nn.Module]:
    """List all heads by name, with those inside other heads, as in K-Net."""
    found = {}
    for name, head in named_heads(segmentor).items():
        inner = {
            f'{name}.{path}'.rstrip('.'): module
            for path, module in head.named_modules()
            if hasattr(module, 'loss_decode')
        }
        found.update(inner or {name: head})
    return found


def _why_full_logits(loss: nn.Module, head: BaseDecodeHead) -> str | None:
    name = type(loss).__name__
    if takes_small_logits(loss):
        own = getattr(loss, 'ignore_index', None)
        if own in (None, head.ignore_index):
            return None
        return f'{name} ignores another label than the head'
    if type(loss) is not CrossEntropyLoss:
        return f'{name} takes no smaller logits'
    if loss.use_sigmoid or loss.use_mask:
        return f'{name} is one of sigmoids'
    if loss.reduction != 'mean':
        return f'{name} has reduction={loss.reduction!r}'
    return None


def _calls_stock_method(head: BaseDecodeHead) -> bool:
    """Tell whether each method that overrides the stock one calls it."""
    if 'loss_by_feat' in vars(head):
        return False
    classes = type(head).__mro__
    for cls in classes[: classes.index(BaseDecodeHead)]:
        if 'loss_by_feat' in vars(cls):
            method = inspect.unwrap(vars(cls)['loss_by_feat'])
            names = getattr(getattr(method, '__code__', None), 'co_names', ())
            if not {'super', 'loss_by_feat'} <= {*names}:
                return False
    return True
