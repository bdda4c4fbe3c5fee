"""Losses of other libraries, as functions of logits and a target.

For libraries that cannot ignore a label, ignored pixels get class 0, which
costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

import mmseg_jml  # noqa: F401 (lets mmseg import)

Loss = Callable[[Tensor, Tensor], Tensor]


def find_rivals(kind: str) -> dict[str, Loss]:
    """List the losses of installed libraries for a kind of label, by name."""
    found = _compiled(kind)
    for library, losses in LIBRARIES.items():
        if find_spec(library) is not None:
            found |= losses(kind)
    return found


def missing() -> list[str]:
    """List the libraries that could be compared and are not installed."""
    return [name for name in LIBRARIES if find_spec(name) is None]


def plain_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Compute 0.25 cross-entropy + 0.75 JML, written for a compiler.

    Args:
        logits (Tensor): (N, C, *).
        target (Tensor): (N, *) integers, 255 ignored, or (N, C, *) floats.
    """
    log_prob = logits.float().log_softmax(1)
    valid = torch.ones_like(log_prob[:, :1])
    if not target.is_floating_point():
        valid = (target != 255)[:, None]
        classes = torch.arange(logits.shape[1], device=logits.device)
        classes = classes.view(-1, *[1] * (target.ndim - 1))
        target = (target[:, None] == classes).float()
    entropy = -(target * log_prob).sum() / valid.sum()
    prob = log_prob.exp() * valid
    axes = [0, *range(2, logits.ndim)]
    overlap = torch.minimum(prob, target).sum(axes)
    union = torch.maximum(prob, target).sum(axes)
    jaccard = 1 - (overlap + 1) / (union + 1)
    present = target.sum(axes) > 0
    jml = (jaccard * present).sum() / present.sum()
    return 0.25 * entropy + 0.75 * jml


def _compiled(kind: str) -> dict[str, Loss]:
    """Compile anew, so that each shape gets a kernel of its own."""
    torch.compiler.reset()
    ignored = {} if kind == 'soft' else dict(ignore_index=255)
    return {
        'torch cross_entropy, compiled': torch.compile(
            partial(F.cross_entropy, **ignored), dynamic=False
        ),
        'CE + JML, plain formula, compiled': torch.compile(
            plain_loss, dynamic=False
        ),
    }


def _mmseg(kind: str) -> dict[str, Loss]:
    if kind == 'soft':
        return {}
    from mmseg.models import losses

    return {
        'mmseg CrossEntropyLoss': partial(
            losses.CrossEntropyLoss(), ignore_index=255
        ),
        'mmseg Dice': losses.DiceLoss(use_sigmoid=False),
        'mmseg Tversky': losses.TverskyLoss(),
        'mmseg Lovasz': partial(
            losses.LovaszLoss(reduction='none'), ignore_index=255
        ),
    }


def _smp(kind: str) -> dict[str, Loss]:
    if kind == 'soft':
        return {}
    from segmentation_models_pytorch.losses import JaccardLoss

    loss = JaccardLoss('multiclass', from_logits=True)
    return {'smp Jaccard': lambda x, y: loss(x, _filled(y))}


def _monai(kind: str) -> dict[str, Loss]:
    from monai.losses import DiceLoss

    if kind == 'soft':
        loss = DiceLoss(jaccard=True, softmax=True, soft_label=True)
        return {'MONAI JML': loss}
    loss = DiceLoss(jaccard=True, softmax=True, to_onehot_y=True)
    return {'MONAI Jaccard': lambda x, y: loss(x, _filled(y)[:, None])}


def _kornia(kind: str) -> dict[str, Loss]:
    if kind == 'soft':
        return {}
    from kornia.losses import dice_loss

    return {'Kornia Dice': partial(dice_loss, ignore_index=255)}


def _filled(label: Tensor) -> Tensor:
    return label.masked_fill(label == 255, 0)


LIBRARIES = {
    'mmseg': _mmseg,
    'segmentation_models_pytorch': _smp,
    'monai': _monai,
    'kornia': _kornia,
}
