"""What DistillationHook adds to a training step.

    python -m benchmarks.distillation
    python -m benchmarks.distillation --device cuda --size 512 --batch 8

Trains a stock student with and without a stock teacher on random images, in
real runs, and prints the median of a step: plain, of the teacher's inference,
and of all else that the hook does (its losses, and their backward pass).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile

import torch

from .devices import CPU, CUDA
from .report import add_options, set_up, write
from .stock_models import draw_batch, read_config

STUDENT = 'pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
TEACHER = 'deeplabv3/deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py'


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--student', default=STUDENT)
    parser.add_argument('--teacher', default=TEACHER)
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--size', type=int, default=256)
    add_options(parser, rounds=7)
    return parser.parse_args()


def run(
    arguments: argparse.Namespace,
    device: CPU | CUDA,
    hook: dict,
    folder: str,
) -> list:
    """Seconds of each pair of steps, without the first.

    A step without the teacher and one with it follow each other, so that what
    disturbs one disturbs the other.

    Returns:
        list[tuple[float, float, float]]: Of the plain step, of the teacher's
        inference, and of the step with it.
    """
    from mmengine.dataset import pseudo_collate
    from mmengine.hooks import Hook
    from mmengine.runner import Runner
    from torch.utils.data import DataLoader

    from mmseg_jml.supervision.teacher import Teacher

    now, pairs = device.now, []
    predict, asked = Teacher.__call__, [0.0]

    def timed(*call):
        start = now()
        answer = predict(*call)
        asked[0] = now() - start
        return answer

    class Timer(Hook):
        def before_train_iter(self, runner, **step) -> None:
            if runner.iter % 2 == 0:
                (hook,) = (h for h in runner.hooks if hasattr(h, '_numbers'))
                hook._numbers.update(label_weight=1.0, teacher_weight=0.0)
            self.start = now()

        def after_train_iter(self, runner, **step) -> None:
            seconds = now() - self.start
            if runner.iter % 2 == 0:
                self.plain = seconds
            else:
                pairs.append((self.plain, asked[0], seconds))

    size = arguments.size, arguments.size
    model = read_config(arguments.student, size).model
    batch = draw_batch(arguments.batch, model.decode_head.num_classes, size)
    data = [
        dict(inputs=image, data_samples=sample)
        for image, sample in zip(batch['inputs'], batch['data_samples'])
    ]
    runner = Runner(
        model,
        folder,
        train_dataloader=DataLoader(
            data, arguments.batch, collate_fn=pseudo_collate
        ),
        train_cfg=dict(
            type='IterBasedTrainLoop', max_iters=2 * arguments.rounds + 2
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-4)),
        custom_hooks=[hook],
        default_hooks=dict(checkpoint=None, logger=None),
        default_scope='mmseg',
        log_level='ERROR',
        experiment_name='distillation',
    )
    runner.register_hook(Timer(), 'LOWEST')
    Teacher.__call__ = timed
    try:
        runner.train()
    finally:
        Teacher.__call__ = predict
    return pairs[1:]


def measure(
    arguments: argparse.Namespace, device: CPU | CUDA
) -> dict[str, float]:
    """Median seconds of each part of a step."""
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    size = arguments.size, arguments.size
    teacher = read_config(arguments.teacher, size).model
    with tempfile.TemporaryDirectory() as folder:
        with DefaultScope.overwrite_default_scope('mmseg'):
            weights = MODELS.build(teacher).state_dict()
        checkpoint = f'{folder}/teacher.pth'
        torch.save(weights, checkpoint)
        hook = dict(
            type='mmseg_jml.DistillationHook',
            teacher=teacher.to_dict(),
            checkpoint=checkpoint,
        )
        pairs = run(arguments, device, hook, folder)
    median = statistics.median
    return {
        'plain training': median(plain for plain, _, _ in pairs),
        'inference of the teacher': median(asked for _, asked, _ in pairs),
        'the rest of the hook': median(
            total - asked - plain for plain, asked, total in pairs
        ),
    }


def main() -> None:
    """Measures, prints and writes."""
    arguments = parse_arguments()
    device = set_up(arguments)
    parts = measure(arguments, device)
    plain = parts['plain training']
    rows = [
        {
            'part': part,
            'ms': 1000 * seconds,
            'share': seconds / plain,
            'student': arguments.student,
            'teacher': arguments.teacher,
            'batch': arguments.batch,
            'size': arguments.size,
        }
        for part, seconds in parts.items()
    ]
    for row in rows:
        print(f'{row["part"]:28} {row["ms"]:9.1f} ms  {row["share"]:6.1%}')
    print(write(rows, arguments, device, 'distillation'))


if __name__ == '__main__':
    main()
