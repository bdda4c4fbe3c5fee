"""Measure what DistillationHook adds to a training step.

    python -m benchmarks.distillation
    python -m benchmarks.distillation --device cuda --size 512 --batch 8

Trains a stock student with and without a stock teacher on random images, in
turn. Prints medians of three times: a plain step, the teacher's inference, and
the rest of what the hook does (its losses and their backward pass).
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial

import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from .measure import call_once, interleaved, median_ms
from .options import make_parser, set_up
from .report import write
from .stock_models import build_runner, draw_batch, read_config

STUDENT = 'pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
TEACHER = 'deeplabv3/deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py'


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, rounds=7, by_loss=False)
    parser.add_argument('--student', default=STUDENT)
    parser.add_argument('--teacher', default=TEACHER)
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--size', type=int, default=256)
    return parser.parse_args()


def train_step(runner, batch: dict) -> None:
    """Take a step, after what hooks do before it."""
    runner.call_hook('before_train_iter', batch_idx=0, data_batch=batch)
    runner.model.train_step(batch, runner.optim_wrapper)


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Measure the median milliseconds of each part of a step."""
    from mmseg_jml.supervision.teacher import Teacher

    torch.manual_seed(0)
    device = arguments.device
    size = arguments.size, arguments.size
    config = read_config(arguments.teacher, size).model
    with tempfile.TemporaryDirectory() as folder:
        with DefaultScope.overwrite_default_scope('mmseg'):
            model = MODELS.build(config)
        torch.save(model.state_dict(), f'{folder}/teacher.pth')
        hook = dict(
            type='mmseg_jml.DistillationHook',
            teacher=config.to_dict(),
            checkpoint=f'{folder}/teacher.pth',
        )
        plain, taught = (
            build_runner(
                read_config(arguments.student, size),
                *('float32', hooks, device.type),
                f'{folder}/{len(hooks)}',
            )
            for hooks in ([], [hook])
        )
        classes = plain.model.decode_head.num_classes
        batch = draw_batch(arguments.batch, classes, size)
        student = plain.model.data_preprocessor
        images = student(batch, True)['inputs']
        teacher = Teacher(model.to(images), student, keeps_size=True)
        calls = {
            'plain': partial(train_step, plain, batch),
            'teacher': partial(teacher, images, teacher.outputs),
            'taught': partial(train_step, taught, batch),
        }
        steps = interleaved(
            calls, partial(call_once, device=device), arguments.rounds
        )
    ms = {name: median_ms(of) for name, of in steps.items()}
    return {
        'plain training': ms['plain'],
        'inference of the teacher': ms['teacher'],
        'the rest of the hook': ms['taught'] - ms['plain'] - ms['teacher'],
    }


def main() -> None:
    """Measure, print and write."""
    arguments = parse_arguments()
    set_up(arguments)
    parts = measure(arguments)
    rows = [
        {
            'part': part,
            'ms': ms,
            'share': ms / parts['plain training'],
            'student': arguments.student,
            'teacher': arguments.teacher,
            'batch': arguments.batch,
            'size': arguments.size,
        }
        for part, ms in parts.items()
    ]
    for row in rows:
        print(f'{row["part"]:28} {row["ms"]:9.1f} ms  {row["share"]:6.1%}')
    print(write(rows, arguments, 'distillation'))


if __name__ == '__main__':
    main()
