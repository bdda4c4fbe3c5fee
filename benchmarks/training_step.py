"""Measure time and memory of training steps of stock models, by loss.

    python -m benchmarks.training_step
    python -m benchmarks.training_step --device cuda --dtype float32 bfloat16
    python -m benchmarks.training_step --models SegFormer-B0 --size 256x256

Builds each stock model once for each loss entry, with its stock optimizer,
and takes their steps in turn: ``train_step`` on random images, from the
batch of the data loader to the changed weights. Only ``loss_decode``, or a
hook, differs. Prints a table and writes it and a picture to
``benchmarks/results/training_step-*``. Time is taken until the device is done.
``step_mib`` is the peak memory without weights and optimizer, ``peak_mib``
that with them. ``time`` and ``peak`` are the ratios of ``ms``, round by round,
and of ``peak_mib`` to those of the stock losses.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

import torch
from mmengine.runner import Runner

from .devices import CPU, CUDA
from .measure import Step, call_once, interleaved, median_ms, median_ratio
from .options import check_names, choose, make_parser, set_up
from .report import running, write
from .stock_models import build_runner, draw_batch, kept_bytes, read_config

# A path in mmseg's own configs, the batch, and the size of its images.
MODELS = {
    'PSPNet-R50': (
        'pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py',
        4,
        '512x512',
    ),
    'SegFormer-B0': (
        'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
        16,
        '512x512',
    ),
    'DeepLabV3+-R18': (
        'deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024.py',
        4,
        '512x1024',
    ),
}
BASELINE = 'stock CE'
OURS = dict(type='mmseg_jml.JaccardMetricCELoss')
HOOK = dict(type='mmseg_jml.HeadResolutionHook')
CE_AND_DICE = [
    dict(type='CrossEntropyLoss', loss_weight=0.25),
    dict(type='DiceLoss', use_sigmoid=False, loss_weight=0.75),
]
# The auxiliary head's cross-entropy at its stock weight, from our kernels.
AUXILIARY = dict(OURS, ce_weight=1.0, jml_weight=0.0, loss_weight=0.4)
# Loss entries by head, and hooks.
LOSSES = {
    BASELINE: ({}, []),
    'stock CE, head resolution': ({}, [HOOK]),
    'CE + Dice': (dict(decode_head=CE_AND_DICE), []),
    'CE + JML': (dict(decode_head=OURS), []),
    'CE + JML, both heads': (
        dict(decode_head=OURS, auxiliary_head=AUXILIARY),
        [],
    ),
    'CE + JML, head resolution': (dict(decode_head=OURS), [HOOK]),
}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__, rounds=9)
    parser.add_argument(
        '--models', nargs='+', choices=MODELS, default=list(MODELS)
    )
    parser.add_argument('--batch', type=int, help="in place of the model's")
    parser.add_argument('--size', help="HxW, in place of the model's")
    return parser.parse_args()


def build(
    model: str, dtype: str, size: tuple[int, int], arguments, folder: str
) -> dict[str, Runner]:
    """Build a run for each loss entry that the model can have."""
    from mmseg.registry import HOOKS

    runs, device = {}, arguments.device.type
    chosen = choose(LOSSES, arguments.only, BASELINE)
    for name, (entries, hooks) in chosen.items():
        config = read_config(MODELS[model][0], size)
        absent = [key for key in entries if config.model.get(key) is None]
        absent += [x['type'] for x in hooks if HOOKS.get(x['type']) is None]
        if absent:
            print(f'left out: {model}, {name}: no {absent[0]}')
            continue
        for head, entry in entries.items():
            config.model[head].loss_decode = entry
        runs[name] = build_runner(
            config, dtype, hooks, device, f'{folder}/{len(runs)}'
        )
    return runs


def train_step(runner: Runner, batch: dict, device: CPU | CUDA) -> Step:
    """Take one step, until the device is done."""
    device.prepare()
    step = partial(runner.model.train_step, batch, runner.optim_wrapper)
    return call_once(step, device)


def measure_model(
    model: str, dtype: str, arguments: argparse.Namespace
) -> list[dict]:
    """Measure a row for each loss entry that trains."""
    device = arguments.device
    _, batch, size = MODELS[model]
    batch, size = arguments.batch or batch, arguments.size or size
    height, width = map(int, size.split('x'))
    with tempfile.TemporaryDirectory() as folder:
        runs = build(model, dtype, (height, width), arguments, folder)
        head = runs[BASELINE].model.decode_head
        data = draw_batch(batch, head.num_classes, (height, width))
        call = partial(train_step, batch=data, device=device)
        runs = {BASELINE: runs.pop(BASELINE)} | running(runs, call)
        steps = interleaved(runs, call, arguments.rounds)
        rows = []
        for name, runner in runs.items():
            with device.track() as tracked:
                call(runner)
            peak = kept_bytes(runner) + tracked.peak
            rows.append(
                dict(
                    model=model,
                    dtype=dtype,
                    batch=batch,
                    size=size,
                    loss=name,
                    ms=median_ms(steps[name]),
                    time=median_ratio(steps[name], steps[BASELINE]),
                    step_mib=tracked.peak / 2**20,
                    peak_mib=peak / 2**20,
                )
            )
            rows[-1]['peak'] = peak / 2**20 / rows[0]['peak_mib']
            print('{model:14} {dtype:8} {loss:26} {ms:9.1f} ms {time:5.2f}'
                  '   peak {peak_mib:8.1f} MiB {peak:5.2f}'
                  .format(**rows[-1]), flush=True)  # fmt: skip
            runner.call_hook('after_train')
    return rows


def plot(rows: list[dict], path: Path) -> None:
    """Draw time and peak memory of each model and loss; stock CE is 1."""
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys((row['model'], row['dtype']) for row in rows))
    losses = [name for name in LOSSES if any(r['loss'] == name for r in rows)]
    figure = Figure((10, 3.5), layout='constrained')
    axes = figure.subplots(1, 2, sharey=True)
    height = 0.8 / len(losses)
    for axis, key, title in zip(
        axes, ('time', 'peak'), ('time of a step', 'peak memory')
    ):
        for place, loss in enumerate(losses):
            found = [row for row in rows if row['loss'] == loss]
            at = [
                groups.index((row['model'], row['dtype'])) + place * height
                for row in found
            ]
            values = [row[key] for row in found]
            bars = axis.barh(at, values, 0.9 * height, label=loss)
            axis.bar_label(bars, fmt='%.2f', fontsize=7, padding=2)
        axis.axvline(1, color='black', linewidth=0.8)
        axis.margins(x=0.12)
        axis.set_title(f'{title}, stock CE = 1')
    axes[0].set_yticks(
        [i + 0.4 - height / 2 for i in range(len(groups))],
        [f'{model}\n{dtype}' for model, dtype in groups],
    )
    axes[0].invert_yaxis()
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc='outside lower center',
        ncols=3,
        fontsize=8,
    )
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, print, write and draw."""
    arguments = parse_arguments()
    check_names(arguments.only, LOSSES)
    set_up(arguments)
    torch.backends.cudnn.benchmark = True  # as in the stock configs
    dtypes = arguments.dtype
    if arguments.device.type == 'cpu' and dtypes != ['float32']:
        print('left out: half precision; AmpOptimWrapper needs a GPU')
        dtypes = ['float32']
    rows = []
    for model in arguments.models:
        for dtype in dtypes:
            rows += measure_model(model, dtype, arguments)
            path = write(rows, arguments, 'training_step')
    plot(rows, path.with_suffix('.png'))
    print(path)


if __name__ == '__main__':
    main()
