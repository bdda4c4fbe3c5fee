"""The losses of torch and of this package, and random inputs for them.

Labels are made of squares, since segmentation maps have regions; one square in
ten is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mmseg_jml.functional import jaccard_metric_loss

BASELINE = 'torch cross_entropy'
# The recipe of the paper.
MIX = dict(ce_weight=0.25, jml_weight=0.75)
Loss = Callable[[Tensor, Tensor], Tensor]


def draw(
    shape: tuple[int, ...], kind: str, dtype: torch.dtype, device: str
) -> tuple[Tensor, Tensor]:
    """Draw logits (N, C, H, W) that require grad, and a hard or soft target.

    The dtype is that of the logits and of a soft target.
    """
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=generator).to(device, dtype)
    if kind == 'soft':
        target = torch.randn(shape, generator=generator).softmax(1)
        return logits.requires_grad_(), target.to(device, dtype)
    label = draw_label(shape, generator)
    return logits.requires_grad_(), label.to(device)


def draw_label(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw a label (N, H, W) for logits of a shape (N, C, H, W)."""
    images, classes, height, width = shape
    squares = images, -(-height // 32), -(-width // 32)
    label = torch.randint(0, classes, squares, generator=generator)
    label[torch.rand(squares, generator=generator) < 0.1] = 255
    label = label.repeat_interleave(32, 1).repeat_interleave(32, 2)
    return label[:, :height, :width].contiguous()


def find_candidates(kind: str, device: str) -> dict[str, Loss]:
    """List losses by name, the baseline first; on CUDA there are more."""
    boundary = dict(mode='boundary', epsilon=0.5, kernel_size=3)
    both = partial(jaccard_metric_loss, **MIX)
    found = {
        BASELINE: F.cross_entropy
        if kind == 'soft'
        else partial(F.cross_entropy, ignore_index=255),
        'JML': jaccard_metric_loss,
        'CE + JML': both,
    }
    if kind == 'hard':
        found |= {
            'JML, boundary smoothing': partial(
                jaccard_metric_loss, label_smoothing=boundary
            ),
            'CE + JML, boundary smoothing': partial(
                both, label_smoothing=boundary
            ),
        }
    if device == 'cuda':
        # the PyTorch implementation beside that of impl='auto', and the
        # module that a config names, which costs some time of the host
        found['CE + JML, PyTorch'] = partial(both, impl='torch')
        if find_spec('mmseg') is not None:
            from mmseg_jml.losses import JaccardMetricCELoss

            found['JaccardMetricCELoss'] = partial(
                JaccardMetricCELoss(), ignore_index=255
            )
    found['JML, plain formula'] = partial(
        jaccard_metric_loss, impl='reference'
    )
    return found
