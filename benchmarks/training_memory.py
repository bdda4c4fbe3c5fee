"""Memory of a training step of a stock model, with and without JML.

    python -m benchmarks.training_memory
    python -m benchmarks.training_memory --device cuda --batch 4

Builds the stock PSPNet-R50 for the 150 classes of ADE20K, runs one step on
512 x 512 random images with each loss entry, in a process of its own, and
prints the most memory that existed at a time. Only ``loss_decode`` differs.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import multiprocessing
from pathlib import Path

import torch

from .losses import RESULTS, processor_name
from .measure import memory_of

CONFIG = 'pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py'
# Options of JaccardMetricCELoss for each head that gets one. The third is the
# recipe of the paper, with the auxiliary cross-entropy from the same kernels.
LOSSES = {
    'stock cross-entropy': {},
    'CE + JML, stock auxiliary head': {'decode_head': {}},
    'CE + JML': {
        'decode_head': {},
        'auxiliary_head': dict(ce_weight=1.0, jml_weight=0.0),
    },
}


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--config', default=CONFIG, help="a path in mmseg's own configs"
    )
    parser.add_argument('--batch', type=int, default=2)
    parser.add_argument('--size', type=int, default=512)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    return parser.parse_args()


def peak_of_step(
    heads: dict[str, dict],
    config: str,
    batch: int,
    size: int,
    device: str,
    threads: int,
) -> int:
    """Peak bytes of a step, besides the model and its input.

    Args:
        heads (dict[str, dict]): A value of ``LOSSES``.
        config (str): A path in mmseg's own configs.
        batch (int): Images.
        size (int): Their height and width.
        device (str): Where to run.
        threads (int): For the processor.
    """
    # with mmcv-lite this needs mmseg_jml first, which .losses imports
    import mmseg
    from mmengine.config import Config
    from mmengine.structures import PixelData
    from mmseg.registry import MODELS
    from mmseg.structures import SegDataSample
    from mmseg.utils import register_all_modules

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    register_all_modules()
    model = Config.fromfile(
        Path(mmseg.__file__).parent / '.mim' / 'configs' / config
    ).model
    model.pretrained = None
    model.pop('data_preprocessor')
    # synchronised batch norm needs several processes
    for part in (model.backbone, model.decode_head, model.auxiliary_head):
        part.norm_cfg = dict(type='BN', requires_grad=True)
    for head, options in heads.items():
        model[head].loss_decode.update(
            type='mmseg_jml.JaccardMetricCELoss', **options
        )
    classes = model.decode_head.num_classes
    model = MODELS.build(model).to(device).train()
    inputs = torch.randn(batch, 3, size, size, device=device)
    samples = []
    for _ in range(batch):
        label = torch.randint(0, classes, (1, size, size), device=device)
        sample = SegDataSample(gt_sem_seg=PixelData(data=label))
        sample.set_metainfo(dict(img_shape=(size, size)))
        samples.append(sample)

    def loss() -> torch.Tensor:
        losses = model.loss(inputs, samples)
        return sum(value for name, value in losses.items() if 'loss' in name)

    return memory_of(loss, inputs).peak


def main() -> None:
    """Measures each loss, prints and writes."""
    arguments = parse_arguments()
    rows = []
    for name, heads in LOSSES.items():
        with multiprocessing.get_context('spawn').Pool(1) as pool:
            peak = pool.apply(
                peak_of_step,
                (
                    heads,
                    arguments.config,
                    arguments.batch,
                    arguments.size,
                    arguments.device,
                    arguments.threads,
                ),
            )
        rows.append({'loss': name, 'peak_mib': round(peak / 2**20, 1)})
        print(f'{name:32} {peak / 2**20:9.1f} MiB', flush=True)
    common = {
        'config': arguments.config,
        'batch': arguments.batch,
        'size': arguments.size,
        'device': processor_name(arguments.device),
        'torch': torch.__version__,
        'date': datetime.date.today().isoformat(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f'training_memory-{common["date"]}.csv'
    with path.open('w', newline='') as file:
        writer = csv.DictWriter(file, [*rows[0], *common])
        writer.writeheader()
        writer.writerows(row | common for row in rows)
    print(path)


if __name__ == '__main__':
    main()
