"""Stock models of mmseg, and random data to train them with."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmseg_jml.imports import config_path

from .candidates import draw_label
from .measure import size_of


def read_config(name: str, size: tuple[int, int]) -> Config:
    """Read one of mmseg's own configs, without pretrained weights.

    Images have the given height and width.
    """
    config = Config.fromfile(config_path(f'mmseg::{name}'))
    config.model.pretrained = None
    config.model.data_preprocessor.size = size
    return config


def draw_batch(number: int, classes: int, size: tuple[int, int]) -> dict:
    """Draw images and labels, some pixels 255, as a data loader gives them."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    generator = torch.Generator().manual_seed(0)
    images, samples = [], []
    labels = draw_label((number, classes, *size), generator)
    for label in labels:
        image = torch.randint(256, (3, *size), generator=generator)
        images.append(image.byte())
        samples.append(
            SegDataSample(
                gt_sem_seg=PixelData(data=label[None]),
                metainfo=dict(img_shape=size, ori_shape=size),
            )
        )
    return dict(inputs=images, data_samples=samples)


def build_runner(
    config: Config, dtype: str, hooks: list[dict], device: str, folder: str
) -> Runner:
    """Build a runner that is ready for its first step.

    Dtypes other than 'float32' are those of AmpOptimWrapper. There are no
    hooks but the given ones. The run is named after its folder.
    """
    if dtype != 'float32':
        config.optim_wrapper.update(type='AmpOptimWrapper', dtype=dtype)
    names = ('runtime_info', 'timer', 'sampler_seed', 'logger')
    names += ('param_scheduler', 'checkpoint')
    runner = Runner(
        config.model,
        folder,
        train_dataloader=DataLoader([0]),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=1),
        optim_wrapper=config.optim_wrapper,
        default_hooks=dict.fromkeys(names),
        custom_hooks=hooks,
        randomness=dict(seed=0),
        default_scope='mmseg',
        log_level='ERROR',
        experiment_name=folder,
    )
    runner.model.to(device).train()
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.call_hook('before_run')
    runner.call_hook('before_train')
    return runner


def kept_bytes(runner: Runner) -> int:
    """Return the bytes of weights, buffers and the optimizer's state."""
    states = runner.optim_wrapper.optimizer.state.values()
    tensors = [*runner.model.parameters(), *runner.model.buffers()]
    tensors += [x for of in states for x in of.values() if torch.is_tensor(x)]
    return sum(map(size_of, tensors))
