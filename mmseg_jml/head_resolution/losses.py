"""Losses of mmseg's decode heads without logits of the label's size."""

from __future__ import annotations

import inspect
import logging
from functools import lru_cache
from typing import Any, cast

import torch
from mmengine.model import BaseModel, BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from ..functional import LossParts, loss_parts
from ..heads import named_heads
from ..losses import JaccardMetricLoss
from ..losses.loss_entry import takes_small_logits
from ..stand_in import StandIn
from .stock_code import fingerprint

__all__ = [
    'at_head_resolution',
    'heads_with_losses',
    'loss_modules',
    'why_full_resolution',
]

# The code of BaseDecodeHead.loss_by_feat in mmsegmentation 1.2.2 and in
# onedl-mmsegmentation 1.4.2, for which _HeadWithSmallLogits was written.
KNOWN = {'504da0577c44b07e'}


def heads_with_losses(segmentor: BaseModel) -> dict[str, BaseModule]:
    """List all heads, with those inside other heads, as in K-Net.

    The segmentor is given without its wrapper. The names are such as 'decode
    (PSPHead)'.
    """
    found = {}
    for name, head in named_heads(segmentor).items():
        inner = {
            f'{name}.{path}'.rstrip('.'): module
            for path, module in head.named_modules()
            if hasattr(module, 'loss_decode')
        }
        for path, module in (inner or {name: head}).items():
            found[f'{path} ({type(module).__name__})'] = module
    return found


def loss_modules(head: BaseModule) -> list[nn.Module]:
    """List the losses in ``loss_decode`` of a head."""
    losses = head.loss_decode
    return list(losses) if isinstance(losses, nn.ModuleList) else [losses]


def at_head_resolution(head: BaseModule) -> list[StandIn]:
    """Let a head compute losses from its logits as they are, until removed."""
    handles = [StandIn(head, _HeadWithSmallLogits)]
    for loss in loss_modules(head):
        if type(loss).forward is JaccardMetricLoss.forward:
            handles.append(StandIn(loss, _LossWithParts))
        elif type(loss) is CrossEntropyLoss:
            handles.append(StandIn(loss, _CrossEntropyWithParts))
    return handles


def why_full_resolution(head: BaseModule) -> str | None:
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


class _HeadWithSmallLogits(BaseDecodeHead):
    """Replace the method that resizes logits before it computes losses.

    Beside the losses and ``acc_seg`` it returns ``ce`` and ``jml``, the two
    terms of a loss of this package.
    """

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: list
    ) -> dict[str, Tensor]:
        label = self._stack_batch_gt(batch_data_samples).squeeze(1)
        sizes = tuple(seg_logits.shape[2:]), tuple(label.shape[1:])
        if any(small > large for small, large in zip(*sizes)):
            _note_larger_logits(type(self).__name__, *sizes)
            return super().loss_by_feat(seg_logits, batch_data_samples)
        losses: dict[str, Tensor] = {}
        logged: dict[str, Tensor] = {}
        options = dict(
            ignore_index=self.ignore_index, align_corners=self.align_corners
        )
        for module in loss_modules(self):
            if isinstance(module, (_LossWithParts, _CrossEntropyWithParts)):
                parts = module(
                    seg_logits,
                    label,
                    weight=None,
                    with_accuracy='acc_seg' not in logged,
                    with_parts=True,
                    **options,
                )
            else:
                value = module(seg_logits, label, weight=None, **options)
                parts = LossParts(value, None, None, None)
            name, value = str(module.loss_name), parts.loss
            losses[name] = losses[name] + value if name in losses else value
            # without 'loss' in their names these are logged, not optimised
            if parts.accuracy is not None:
                logged['acc_seg'] = parts.accuracy.reshape(1)
            if parts.cross_entropy is not None and parts.jaccard is not None:
                logged.setdefault('ce', parts.cross_entropy)
                logged.setdefault('jml', parts.jaccard)
        if 'acc_seg' not in logged:
            logged['acc_seg'] = _accuracy(seg_logits, label, **options)
        for name, value in logged.items():
            losses.setdefault(name, value)  # a loss may have the name 'ce'
        return losses


class _LossWithParts(JaccardMetricLoss):
    """Return the parts of a loss of this package on demand."""

    def forward(  # type: ignore[override]  # the parts are for our head alone
        self, *args: Any, with_parts: bool = False, **kwargs: Any
    ) -> Tensor | LossParts:
        if with_parts:
            return self.parts(*args, **kwargs)
        return super().forward(*args, **kwargs)


class _CrossEntropyWithParts(CrossEntropyLoss):
    """Return the parts of mmseg's cross-entropy on demand.

    The logits may then be smaller than the label, and the arguments are those
    of :func:`mmseg_jml.functional.loss_parts`.
    """

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        *args: Any,
        with_parts: bool = False,
        **kwargs: Any,
    ) -> Tensor | LossParts:
        if not with_parts:
            return super().forward(cls_score, label, *args, **kwargs)
        class_weight = self.class_weight
        if class_weight is not None:
            # half precision would round the weights
            dtype = torch.promote_types(cls_score.dtype, torch.float32)
            class_weight = cls_score.new_tensor(class_weight, dtype=dtype)
        parts = loss_parts(
            cls_score,
            label,
            ce_weight=1.0,
            jml_weight=0.0,
            class_weight=class_weight,
            avg_non_ignore=self.avg_non_ignore,
            **kwargs,
        )
        return parts._replace(loss=self.loss_weight * parts.loss)


def _accuracy(logits: Tensor, label: Tensor, **options: Any) -> Tensor:
    """Compute ``acc_seg``, (1,), where no loss has it from its own pass."""
    parts = loss_parts(
        logits.detach(),
        label,
        ce_weight=1.0,
        jml_weight=0.0,
        check=False,
        with_accuracy=True,
        **options,
    )
    return cast(Tensor, parts.accuracy).reshape(1)


@lru_cache(maxsize=None)
def _note_larger_logits(
    head: str, logits: tuple[int, int], label: tuple[int, int]
) -> None:
    logging.getLogger('mmseg_jml').warning(
        f'{head}: the loss is computed at the size of the label, {label}, '
        f'since the logits are larger, {logits}.'
    )
