"""A run of seconds: stock classes, random images, all that draws numbers."""

import os
import signal
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from PIL import Image

import mmseg_jml  # noqa: F401 (lets mmseg import)

from .devices import be_deterministic

STEPS = 12
CLASSES = ('sky', 'road', 'car')
SIZE = (32, 32)


@HOOKS.register_module()
class KillHook(Hook):
    """Kills its own process before a step, as a cluster would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def before_run(self, runner):
        if get_device() != 'cpu':
            be_deterministic()  # as its test is

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def write_images(folder: Path) -> None:
    """Writes ten images and masks of noise."""
    numbers = np.random.default_rng(0)
    for part, shape, high in (
        ('images', (48, 48, 3), 256),
        ('masks', (48, 48), len(CLASSES)),
    ):
        (folder / part).mkdir(parents=True)
        for i in range(10):
            pixels = numbers.integers(0, high, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / part / f'{i}.png')


def tiny_config(folder: Path, work_dir: Path, workers: int = 0) -> Config:
    """Builds the config of a run on the images in a folder."""
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    pack = [dict(type='PackSegInputs')]
    augment = [
        dict(type='RandomResize', scale=(48, 48), ratio_range=(0.5, 2.0)),
        dict(type='RandomCrop', crop_size=SIZE, cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
    ]
    dataset = dict(
        type='BaseSegDataset', data_root=str(folder), img_suffix='.png',
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=CLASSES),
    )  # fmt: skip
    unet = dict(
        type='UNet', base_channels=4, num_stages=3, strides=(1, 1, 1),
        enc_num_convs=(1, 1, 1), dec_num_convs=(1, 1),
        downsamples=(True, True),
        enc_dilations=(1, 1, 1), dec_dilations=(1, 1),
    )  # fmt: skip
    head = dict(
        type='FCNHead', in_channels=4, in_index=2, channels=4, num_convs=1,
        num_classes=len(CLASSES), dropout_ratio=0.3,
        loss_decode=dict(type='mmseg_jml.JaccardMetricCELoss'),
    )  # fmt: skip
    preprocessor = dict(
        type='SegDataPreProcessor', mean=[128.0] * 3, std=[64.0] * 3,
        size=SIZE, seg_pad_val=255,
    )  # fmt: skip
    model = dict(
        type='EncoderDecoder', data_preprocessor=preprocessor, backbone=unet,
        decode_head=head, test_cfg=dict(mode='whole'),
    )  # fmt: skip
    train_dataloader = dict(
        batch_size=2, num_workers=workers, persistent_workers=workers > 0,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        dataset=dict(dataset, pipeline=load + augment + pack),
    )  # fmt: skip
    val_dataloader = dict(
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(dataset, pipeline=load + pack),
    )
    checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=6, save_best='mIoU'
    )
    schedule = dict(type='PolyLR', power=0.9, end=STEPS, by_epoch=False)
    loop = dict(type='IterBasedTrainLoop', max_iters=STEPS, val_interval=6)
    optimizer = dict(type='AdamW', lr=1e-2)
    return Config(
        dict(
            default_scope='mmseg',
            custom_imports=dict(imports=['mmseg_jml', 'tests.tiny_run']),
            work_dir=str(work_dir),
            randomness=dict(seed=0),
            model=model,
            train_dataloader=train_dataloader,
            val_dataloader=val_dataloader,
            val_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
            optim_wrapper=dict(type='OptimWrapper', optimizer=optimizer),
            param_scheduler=[schedule],
            train_cfg=loop,
            val_cfg=dict(type='ValLoop'),
            default_hooks=dict(checkpoint=checkpoint),
            custom_hooks=[dict(type='mmseg_jml.ExactResumeHook')],
        )
    )
