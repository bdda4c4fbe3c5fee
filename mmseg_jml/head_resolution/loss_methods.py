"""Methods that replace those of mmseg's heads and losses."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import cast

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn

from ..functional import LossParts, loss_parts
from ..losses import JaccardMetricLoss

__all__ = [
    'CrossEntropyWithParts',
    'HeadWithSmallLogits',
    'LossWithParts',
    'loss_modules',
]


def loss_modules(head: nn.Module) -> list[nn.Module]:
    """List the losses in ``loss_decode`` of a head."""
    losses = head.loss_decode
    return list(losses) if isinstance(losses, nn.ModuleList) else [losses]


class HeadWithSmallLogits(BaseDecodeHead):
    """Replace the method that resizes logits before it computes losses."""

    def loss_by_feat(
        self, seg_logits: Tensor, batch_data_samples: list
    ) -> dict[str, Tensor]:
        """Compute the losses of logits (N, C, h, w) as they are.

        Returns:
            dict[str, Tensor]: The losses by name and ``acc_seg``, as mmseg's
            method returns them, and ``ce`` and ``jml``, the two terms of a
            loss of this package.
        """
        label = self._stack_batch_gt(batch_data_samples).squeeze(1)
        sizes = tuple(seg_logits.shape[2:]), tuple(label.shape[1:])
        if any(small > large for small, large in zip(*sizes)):
            _note_larger_logits(type(self).__name__, *sizes)
            return super().loss_by_feat(seg_logits, batch_data_samples)
        losses, logged = {}, {}
        options = dict(
            ignore_index=self.ignore_index, align_corners=self.align_corners
        )
        for module in loss_modules(self):
            if isinstance(module, (LossWithParts, CrossEntropyWithParts)):
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
            name, value = module.loss_name, parts.loss
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


class LossWithParts(JaccardMetricLoss):
    """Return the parts of a loss of this package on demand."""

    def forward(
        self, *args, with_parts: bool = False, **kwargs
    ) -> Tensor | LossParts:
        """Compute the loss of a batch.

        Args:
            *args: Those of :class:`JaccardMetricLoss`.
            with_parts (bool): Whether to return all parts. Defaults to False.
            **kwargs: Those of :class:`JaccardMetricLoss`.
        """
        if with_parts:
            return self.parts(*args, **kwargs)
        return super().forward(*args, **kwargs)


class CrossEntropyWithParts(CrossEntropyLoss):
    """Return the parts of mmseg's cross-entropy on demand."""

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        *args,
        with_parts: bool = False,
        **kwargs,
    ) -> Tensor | LossParts:
        """Compute the loss of a batch.

        Args:
            cls_score (Tensor): (N, C, H, W) or, with parts, smaller.
            label (Tensor): (N, H, W).
            *args: Those of mmseg's loss.
            with_parts (bool): Whether to return all parts. Defaults to False.
            **kwargs: Those of mmseg's loss or, with parts, of
                :func:`mmseg_jml.functional.loss_parts`.
        """
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


def _accuracy(logits: Tensor, label: Tensor, **options) -> Tensor:
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
