"""Compare losses at the head's resolution with resizing logits first.

    python -m benchmarks.upsampled
    python -m benchmarks.upsampled --shapes 2x150x512x512/8 --rounds 5
    python -m benchmarks.upsampled --device cuda --dtype float32 bfloat16

The baseline is what a stock head does: it resizes its logits to the size of
the label by ``F.interpolate``, and takes their cross-entropy, in float32 as
under autocast. A shape is that of the full-size logits, with the stride of the
head after the slash. Time is measured as in ``benchmarks.losses``; memory is
given over the size of the full-size logits. Writes
``benchmarks/results/upsampled-*.csv``.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mmseg_jml.functional import jaccard_metric_loss

from .candidates import MIX, draw_label
from .options import check_names, make_parser, set_up
from .report import finish, measure_losses, write

SHAPES = dict(
    cpu=('2x27x384x768/4', '2x150x512x512/8'),
    cuda=(
        '2x19x512x1024/4',
        '2x19x512x1024/8',
        '2x150x512x512/4',
        '2x150x512x512/8',
        '16x150x512x512/4',
    ),
)
BASELINE = 'resize + cross_entropy'


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, rounds=11)
    parser.add_argument(
        '--shapes', nargs='+', help='NxCxHxW/STRIDE; default: by device'
    )
    return parser.parse_args()


def resize(logits: Tensor, label: Tensor) -> Tensor:
    """Resize (N, C, h, w) to (N, C, H, W) bilinearly, as a stock head."""
    return F.interpolate(
        logits, label.shape[1:], mode='bilinear', align_corners=False
    )


def resize_and_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Compute the baseline."""
    full = resize(logits, label)
    return F.cross_entropy(full.float(), label, ignore_index=255)


def resize_and_mix(logits: Tensor, label: Tensor) -> Tensor:
    """Compute the loss of this package on full-size logits."""
    return jaccard_metric_loss(resize(logits, label), label, **MIX)


def find_rivals() -> dict:
    """Compile the baseline."""
    torch.compiler.reset()
    compiled = torch.compile(resize_and_cross_entropy, dynamic=False)
    return {f'{BASELINE}, compiled': compiled}


def find_candidates() -> dict:
    """List losses of small logits and a full label, the baseline first."""
    small = partial(jaccard_metric_loss, align_corners=False)
    return {
        BASELINE: resize_and_cross_entropy,
        'resize + CE + JML': resize_and_mix,
        'CE + JML': partial(small, **MIX),
        'CE': partial(small, ce_weight=1.0, jml_weight=0.0),
    }


def measure_shape(
    text: str, dtype: str, arguments: argparse.Namespace
) -> list[dict]:
    """Measure a row for each loss."""
    full, _, stride = text.partition('/')
    images, classes, *size = shape = tuple(map(int, full.split('x')))
    generator = torch.Generator().manual_seed(0)
    device = arguments.device.type
    label = draw_label(shape, generator).to(device)
    small = [-(-side // int(stride)) for side in size]
    logits = torch.randn(images, classes, *small, generator=generator)
    logits = logits.to(device, getattr(torch, dtype)).requires_grad_()
    return measure_losses(
        find_candidates(),
        find_rivals(),
        (logits, label),
        label.numel() * classes * logits.element_size(),
        arguments,
        kind='hard',
        dtype=dtype,
        shape=text,
    )


def main() -> None:
    """Measure, print and write."""
    arguments = parse_arguments()
    check_names(arguments.only, find_candidates() | find_rivals())
    set_up(arguments)
    rows = []
    for text in arguments.shapes or SHAPES[arguments.device.type]:
        for dtype in arguments.dtype:
            rows += measure_shape(text, dtype, arguments)
            write(rows, arguments, 'upsampled')
    print(finish(rows, arguments, 'upsampled'))


if __name__ == '__main__':
    main()
