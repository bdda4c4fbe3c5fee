"""Losses of mmseg's decode heads without logits of the label's size."""

from __future__ import annotations

import ast
import hashlib
import inspect
import logging
import textwrap
from functools import cache

import torch
from mmengine.logging import print_log
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from ..functional import LossParts, loss_parts
from ..heads import named_heads
from ..losses import JaccardMetricLoss
from ..stand_in import StandIn

__all__ = [
    'HeadResolution',
    'at_head_resolution',
    'loss_modules',
    'predict_small',
    'why_full_resolution',
]

# The code of BaseDecodeHead.loss_by_feat in mmsegmentation 1.2.2 and in
# onedl-mmsegmentation 1.4.2; what replaces it says the same.
KNOWN = {'4663376f8f1015dd'}


class HeadResolution:
    """Lets the heads of a segmentor compute losses from logits as they are.

    Args:
        segmentor (nn.Module): A segmentor, out of its wrapper.

    Attributes:
        reasons (dict[str, str | None]): For each head, by its name in the log
            and its class, why it stays as it is; None: it does not.
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
        """Gives heads and losses their own methods back."""
        while self._handles:
            self._handles.pop().remove()


def at_head_resolution(head: nn.Module) -> list[StandIn]:
    """Lets a head compute its losses from its logits as they are.

    Args:
        head (nn.Module): A head that :func:`why_full_resolution` has nothing
            against.

    Returns:
        list[StandIn]: Handles; ``remove()`` gives each module its own methods
        back.
    """
    handles = [StandIn(head, _SmallLogits)]
    for loss in loss_modules(head):
        is_own = isinstance(loss, JaccardMetricLoss)
        methods = _OwnLoss if is_own else _StockCrossEntropy
        handles.append(StandIn(loss, methods))
    return handles


def why_full_resolution(head: nn.Module) -> str | None:
    """Says why a head's losses need logits of the label's size.

    Args:
        head (nn.Module): A head of a segmentor.

    Returns:
        str | None: The reason; None if they do not need them.
    """
    if not isinstance(head, BaseDecodeHead):
        return 'it is no BaseDecodeHead'
    if not _calls_stock_method(head):
        return 'it has a loss_by_feat of its own'
    if _fingerprint(BaseDecodeHead.loss_by_feat) not in KNOWN:
        return "mmseg's loss_by_feat is not that of mmsegmentation 1.2.2"
    if head.sampler is not None:
        return f'{type(head.sampler).__name__} samples its pixels'
    if head.out_channels == 1:
        return 'it has a single channel, which costs little'
    reasons = (_why_full_logits(loss, head) for loss in loss_modules(head))
    return next(filter(None, reasons), None)


def loss_modules(head: nn.Module) -> list[nn.Module]:
    """The losses in ``loss_decode`` of a head."""
    losses = head.loss_decode
    return list(losses) if isinstance(losses, nn.ModuleList) else [losses]


def predict_small(head: nn.Module) -> None:
    """Lets a head predict at its own resolution, from now on.

    A head that does not predict by mmseg's own method is left as it is.

    Args:
        head (nn.Module): A head of a segmentor.
    """
    is_stock = (
        isinstance(head, BaseDecodeHead)
        and type(head).predict_by_feat is BaseDecodeHead.predict_by_feat
    )
    if is_stock:
        StandIn(head, _SmallPrediction)


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


class _SmallLogits(BaseDecodeHead):
    """Replaces a method that resizes logits before it computes losses."""

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: list
    ) -> dict[str, Tensor]:
        """The losses, and ``acc_seg``, of logits (N, C, h, w)."""
        label = self._stack_batch_gt(batch_data_samples).squeeze(1)
        sizes = tuple(seg_logits.shape[2:]), tuple(label.shape[1:])
        if any(small > large for small, large in zip(*sizes)):
            _note_larger_logits(type(self).__name__, *sizes)
            return super().loss_by_feat(seg_logits, batch_data_samples)
        losses, figures = {}, {}
        for module in loss_modules(self):
            parts = module(
                seg_logits,
                label,
                weight=None,
                ignore_index=self.ignore_index,
                align_corners=self.align_corners,
                with_accuracy='acc_seg' not in figures,
                with_parts=True,
            )
            name, value = module.loss_name, parts.loss
            losses[name] = losses[name] + value if name in losses else value
            _add_figures(figures, parts)
        for name, value in figures.items():
            losses.setdefault(name, value)  # a loss may be called 'ce'
        return losses


class _SmallPrediction(BaseDecodeHead):
    """Replaces a method that resizes logits to the image."""

    def predict_by_feat(
        self, seg_logits: Tensor, batch_img_metas: list[dict]
    ) -> Tensor:
        """The logits as they are."""
        return seg_logits


def _add_figures(figures: dict[str, Tensor], parts: LossParts) -> None:
    """What is logged beside losses: names without 'loss' in them."""
    if parts.accuracy is not None:
        figures['acc_seg'] = parts.accuracy.reshape(1)
    if parts.cross_entropy is not None and parts.jaccard is not None:
        figures.setdefault('ce', parts.cross_entropy)
        figures.setdefault('jml', parts.jaccard)


class _OwnLoss(JaccardMetricLoss):
    """Gives the parts of a loss to who asks for them."""

    def forward(self, *args, with_parts: bool = False, **kwargs):
        if with_parts:
            return self.parts(*args, **kwargs)
        return super().forward(*args, **kwargs)


class _StockCrossEntropy(CrossEntropyLoss):
    """The same for mmseg's cross-entropy."""

    def forward(
        self, cls_score, label, *args, with_parts: bool = False, **kwargs
    ):
        if not with_parts:
            return super().forward(cls_score, label, *args, **kwargs)
        class_weight = self.class_weight
        if class_weight is not None:
            # half precision would round them
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


def _why_full_logits(loss: nn.Module, head: BaseDecodeHead) -> str | None:
    name = type(loss).__name__
    if getattr(type(loss), 'forward', None) is JaccardMetricLoss.forward:
        if loss.ignore_index in (None, head.ignore_index):
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
    """Whether each method that overrides the stock one calls it."""
    if 'loss_by_feat' in vars(head):
        return False
    classes = type(head).__mro__
    overriding = (
        vars(cls)['loss_by_feat']
        for cls in classes[: classes.index(BaseDecodeHead)]
        if 'loss_by_feat' in vars(cls)
    )
    codes = (
        getattr(inspect.unwrap(method), '__code__', None)
        for method in overriding
    )
    return all(
        code and {'super', 'loss_by_feat'} <= {*code.co_names}
        for code in codes
    )


@cache
def _fingerprint(method) -> str:
    """A hash of a method's code without signature, docstring and layout."""
    try:
        source = textwrap.dedent(inspect.getsource(method))
    except (OSError, TypeError):  # it has no source
        return ''
    body = ast.parse(source).body[0].body
    code = '\n'.join(map(ast.unparse, body[1:]))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


@cache
def _note_larger_logits(
    head: str, logits: tuple[int, int], label: tuple[int, int]
) -> None:
    print_log(
        f'{head}: the loss is computed at the size of the label, {label}, '
        f'since the logits are larger, {logits}.',
        logger='current',
        level=logging.WARNING,
    )
