"""Compare time and memory of metrics with mmseg's own IoUMetric.

    python -m benchmarks.metrics
    python -m benchmarks.metrics --shape 150x512x512 --threads 4
    python -m benchmarks.metrics --device cuda

Feeds one prediction to ``process`` of each metric, as a validation loop does,
prints a table and writes ``benchmarks/results/metrics-*.csv``. Time is the
median over rounds of the ratio to IoUMetric in the same round. Memory is the
peak over the size of the logits. For comparison, the table also has the
arg-max of the logits, which the model takes before any metric runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from mmseg.registry import METRICS
from torch import Tensor
from torchmetrics.classification import MulticlassCalibrationError

import mmseg_jml  # noqa: F401 (fills the registries)

from .measure import call_once, interleaved, median_ms, median_ratio, size_of
from .options import make_parser, set_up
from .report import write

BASELINE = 'IoUMetric'
EVALUATORS = {
    BASELINE: dict(type='IoUMetric', prefix='iou'),
    'FineGrainedIoUMetric': dict(type='FineGrainedIoUMetric'),
    'CalibrationMetric': dict(type='CalibrationMetric'),
    'CalibrationMetric, equal mass': dict(
        type='CalibrationMetric', binning='equal_mass'
    ),
}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, rounds=7, by_loss=False)
    parser.add_argument('--shape', default='19x1024x2048')
    parser.add_argument('--dtype', default='float32')
    return parser.parse_args()


def draw(arguments: argparse.Namespace) -> dict[str, Tensor]:
    """Draw a prediction: smooth logits, nine of ten pixels right."""
    classes, *size = map(int, arguments.shape.split('x'))
    torch.manual_seed(0)
    coarse = 4 * torch.randn(1, classes, *(side // 16 for side in size))
    logits = F.interpolate(coarse, size, mode='bilinear')[0]
    prediction = logits.argmax(0, keepdim=True)
    label = torch.randint(0, classes, (1, *size))
    label = label.where(torch.rand(1, *size) < 0.1, prediction)
    label[:, : size[0] // 16] = 255
    device = arguments.device.type
    logits = logits.to(device, getattr(torch, arguments.dtype))
    return dict(
        seg_logits=logits,
        pred_sem_seg=logits.argmax(0, keepdim=True),
        gt_sem_seg=label.to(device),
    )


def find_candidates(fields: dict[str, Tensor]) -> dict[str, Callable]:
    """List the calls to measure, by name."""
    classes = len(fields['seg_logits'])
    sample = {name: dict(data=data) for name, data in fields.items()}
    candidates = {}
    for name, entry in EVALUATORS.items():
        metric = METRICS.build(dict(entry))
        metric.dataset_meta = dict(classes=tuple(range(classes)))
        candidates[name] = partial(metric.process, {}, [sample])
    candidates['torchmetrics (ECE alone)'] = partial(_torchmetrics, fields)
    candidates['arg-max of the logits'] = partial(
        fields['seg_logits'].argmax, 0
    )
    return candidates


def _torchmetrics(fields: dict[str, Tensor]) -> None:
    """Take a softmax and an update; dropping the state favours it."""
    metric = MulticlassCalibrationError(
        len(fields['seg_logits']),
        n_bins=10,
        ignore_index=255,
        validate_args=False,
    )
    metric = metric.to(fields['seg_logits'].device)
    prob = fields['seg_logits'].softmax(0)
    metric.update(prob[None], fields['gt_sem_seg'])


def main() -> None:
    """Measure, print and write."""
    arguments = parse_arguments()
    set_up(arguments)
    device = arguments.device
    fields = draw(arguments)
    candidates = find_candidates(fields)
    steps = interleaved(
        candidates, partial(call_once, device=device), arguments.rounds
    )
    rows = []
    for name, candidate in candidates.items():
        with device.track() as tracked:
            candidate()
        of = steps[name]
        rows.append(
            dict(
                shape=arguments.shape,
                dtype=arguments.dtype,
                evaluator=name,
                ms=median_ms(of),
                time=median_ratio(of, steps[BASELINE]),
                peak=tracked.peak / size_of(fields['seg_logits']),
            )
        )
        print('{evaluator:30} {ms:8.1f} ms {time:6.2f}'
              '   peak {peak:5.2f}'.format(**rows[-1]))  # fmt: skip
    print(write(rows, arguments, 'metrics'))


if __name__ == '__main__':
    main()
