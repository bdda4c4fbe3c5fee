"""The losses that are compared, all as functions of logits and a target.

A hard label has 10 % ignored pixels, in squares, as segmentation maps have.
Libraries without an ignored label get one in its place, which costs them
nothing. What is not installed is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mmseg_jml.functional import jaccard_metric_loss

__all__ = ['BASELINE', 'draw', 'find_candidates']

BASELINE = 'torch cross_entropy'
Loss = Callable[[Tensor, Tensor], Tensor]


def draw(
    shape: tuple[int, ...], kind: str, dtype: torch.dtype, device: str
) -> tuple[Tensor, Tensor]:
    """Logits that require grad, and a hard or soft target.

    Args:
        shape (tuple[int, ...]): (N, C, H, W).
        kind (str): 'hard' or 'soft'.
        dtype (torch.dtype): Of logits and soft target.
        device (str): Where to put them.
    """
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator).to(device, dtype)
    if kind == 'soft':
        target = torch.randn(shape, generator=generator).softmax(1)
        return logits.requires_grad_(), target.to(device, dtype)
    images, classes, height, width = shape
    squares = images, -(-height // 32), -(-width // 32)
    label = torch.randint(0, classes, squares, generator=generator)
    label[torch.rand(squares, generator=generator) < 0.1] = 255
    label = label.repeat_interleave(32, 1).repeat_interleave(32, 2)
    label = label[:, :height, :width].contiguous()
    return logits.requires_grad_(), label.to(device)


def find_candidates(kind: str) -> dict[str, Loss]:
    """Losses by name, the baseline first.

    Args:
        kind (str): 'hard' or 'soft'.
    """
    boundary = dict(mode='boundary', epsilon=0.5, kernel_size=3)
    both = dict(ce_weight=0.25, jml_weight=0.75)
    found = {
        BASELINE: F.cross_entropy
        if kind == 'soft'
        else partial(F.cross_entropy, ignore_index=255),
        'JML': jaccard_metric_loss,
        'CE + JML': partial(jaccard_metric_loss, **both),
    }
    if kind == 'hard':
        found |= {
            'JML, boundary smoothing': partial(
                jaccard_metric_loss, label_smoothing=boundary
            ),
            'CE + JML, boundary smoothing': partial(
                jaccard_metric_loss, label_smoothing=boundary, **both
            ),
        }
    if torch.cuda.is_available():
        found['CE + JML, Triton'] = partial(
            jaccard_metric_loss, impl='triton', **both
        )
    found['JML, plain formula'] = partial(
        jaccard_metric_loss, impl='reference'
    )
    others = _hard_losses if kind == 'hard' else _soft_losses
    return found | others()


def _hard_losses() -> dict[str, Loss]:
    found = {}
    try:
        from mmseg.models import losses
    except ImportError:
        pass
    else:
        found |= {
            'mmseg Dice': losses.DiceLoss(use_sigmoid=False),
            'mmseg Tversky': losses.TverskyLoss(),
            'mmseg Lovasz': partial(
                losses.LovaszLoss(reduction='none'), ignore_index=255
            ),
        }
    try:
        from segmentation_models_pytorch.losses import JaccardLoss
    except ImportError:
        pass
    else:
        smp = JaccardLoss('multiclass', from_logits=True)
        found['smp Jaccard'] = lambda x, y: smp(x, _filled(y))
    try:
        from monai.losses import DiceLoss
    except ImportError:
        pass
    else:
        monai = DiceLoss(jaccard=True, softmax=True, to_onehot_y=True)
        found['MONAI Jaccard'] = lambda x, y: monai(x, _filled(y)[:, None])
    try:
        from kornia.losses import dice_loss
    except ImportError:
        pass
    else:
        found['Kornia Dice'] = partial(dice_loss, ignore_index=255)
    return found


def _soft_losses() -> dict[str, Loss]:
    try:
        from monai.losses import DiceLoss
    except ImportError:
        return {}
    return {'MONAI JML': DiceLoss(jaccard=True, softmax=True, soft_label=True)}


def _filled(label: Tensor) -> Tensor:
    return label.masked_fill(label == 255, 0)
