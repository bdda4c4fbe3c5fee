"""What DistillationHook adds to a training step.

    python -m benchmarks.distillation
    python -m benchmarks.distillation --device cuda --size 512 --batch 8

Trains a stock student with and without a stock teacher on random images, in
real runs, and prints the median of a step: plain, of the teacher's inference,
and of all else that the hook does (its losses, and their backward pass).
"""

from __future__ import annotations

import argparse
import csv
import datetime
import statistics
import tempfile
from pathlib import Path

import torch

from .losses import RESULTS, processor_name
from .measure import CLOCKS

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
    parser.add_argument('--steps', type=int, default=7)
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--clock', default='wall', choices=sorted(CLOCKS))
    return parser.parse_args()


class Stopwatch:
    """Seconds between calls, after all that a device was asked for."""

    def __init__(self, device: str, clock: str) -> None:
        self._wait = torch.cuda.synchronize if device == 'cuda' else int
        self._clock = CLOCKS[clock]

    def __call__(self) -> float:
        """The time."""
        self._wait()
        return self._clock()


def read(name: str, size: int):
    """A stock config without pretrained weights and synchronised norms."""
    import mmseg
    from mmengine.config import Config

    path = Path(mmseg.__file__).parent / '.mim/configs' / name
    model = Config.fromfile(path).model
    model.pretrained = None
    model.data_preprocessor.size = (size, size)
    for part in ('backbone', 'decode_head', 'auxiliary_head'):
        if part in model:
            model[part].norm_cfg = dict(type='BN', requires_grad=True)
    return model


def images(number: int, size: int, classes: int) -> list[dict]:
    """Random images with random labels."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    data = []
    for _ in range(number):
        label = torch.randint(classes, (1, size, size))
        sample = SegDataSample(gt_sem_seg=PixelData(data=label))
        image = torch.randint(256, (3, size, size))
        data.append(dict(inputs=image, data_samples=sample))
    return data


def run(arguments: argparse.Namespace, hook: dict, folder: str) -> list:
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

    from mmseg_jml.hooks.teacher import Teacher

    now, pairs = Stopwatch(arguments.device, arguments.clock), []
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

    model = read(arguments.student, arguments.size)
    data = images(
        arguments.batch, arguments.size, model.decode_head.num_classes
    )
    runner = Runner(
        model,
        folder,
        train_dataloader=DataLoader(
            data, arguments.batch, collate_fn=pseudo_collate
        ),
        train_cfg=dict(
            type='IterBasedTrainLoop', max_iters=2 * arguments.steps + 2
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


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Median seconds of each part of a step."""
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    teacher = read(arguments.teacher, arguments.size)
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
        pairs = run(arguments, hook, folder)
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
    parts = measure(arguments)
    plain = parts['plain training']
    common = {
        **vars(arguments),
        'processor': processor_name(arguments.device),
        'torch': torch.__version__,
        'date': datetime.date.today().isoformat(),
    }
    rows = [
        {'part': part, 'ms': round(1000 * s, 1), 'share': round(s / plain, 3)}
        for part, s in parts.items()
    ]
    for row in rows:
        print(f'{row["part"]:28} {row["ms"]:9.1f} ms  {row["share"]:6.1%}')
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f'distillation-{arguments.device}-{common["date"]}.csv'
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, [*rows[0], *common])
        writer.writeheader()
        writer.writerows(row | common for row in rows)
    print(path)


if __name__ == '__main__':
    main()
