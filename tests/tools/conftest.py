"""A config small enough to train within a second, with its own data."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmengine.config import Config

CLASSES = ('ground', 'left', 'right')
SIDE = 32


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    """Writes a stock-like config and its images; returns the config's path."""
    root = tmp_path_factory.mktemp('tiny')
    write_images(root / 'data', count=4)
    path = root / 'tiny.py'
    Config(config(str(root / 'data'))).dump(path)
    return path


def write_images(root, count):
    """Paints coloured halves, with a frame of ignored pixels."""
    random = np.random.default_rng(0)
    for kind in ('images', 'labels'):
        (root / kind).mkdir(parents=True)
    for index in range(count):
        label = np.zeros((SIDE, SIDE), np.uint8)
        label[8:24, :16], label[8:24, 16:] = 1, 2
        image = random.integers(0, 60, (SIDE, SIDE, 3)) + 90 * label[..., None]
        label[:2] = 255
        cv2.imwrite(
            str(root / f'images/{index}.png'), image.clip(0, 255).astype('u1')
        )
        cv2.imwrite(str(root / f'labels/{index}.png'), label)


def config(data_root):
    norm = dict(type='BN')
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    pack = [dict(type='PackSegInputs')]
    head = dict(
        type='FCNHead',
        in_channels=8,
        channels=8,
        num_convs=1,
        num_classes=len(CLASSES),
        dropout_ratio=0,
        norm_cfg=norm,
        loss_decode=dict(
            type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0
        ),
    )
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='BaseSegDataset',
            metainfo=dict(classes=CLASSES),
            data_root=data_root,
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            img_suffix='.png',
            seg_map_suffix='.png',
            pipeline=load + pack,
        ),
    )
    evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    return dict(
        default_scope='mmseg',
        randomness=dict(seed=0),
        env_cfg=dict(dist_cfg=dict(backend='nccl')),
        model=dict(
            type='EncoderDecoder',
            data_preprocessor=dict(
                type='SegDataPreProcessor',
                mean=[128.0] * 3,
                std=[64.0] * 3,
                size=(SIDE, SIDE),
            ),
            backbone=dict(
                type='UNet',
                base_channels=4,
                num_stages=2,
                strides=(1, 1),
                enc_num_convs=(1, 1),
                dec_num_convs=(1,),
                downsamples=(True,),
                enc_dilations=(1, 1),
                dec_dilations=(1,),
                norm_cfg=norm,
            ),
            decode_head=dict(head, in_channels=4, in_index=1),
            auxiliary_head=dict(head, in_channels=8, in_index=0),
            test_cfg=dict(mode='whole'),
        ),
        train_dataloader=dict(
            loader, sampler=dict(type='InfiniteSampler', shuffle=True)
        ),
        val_dataloader=loader,
        test_dataloader=loader,
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4),
        val_cfg=dict(type='ValLoop'),
        test_cfg=dict(type='TestLoop'),
        tta_model=dict(type='SegTTAModel'),
        tta_pipeline=[
            load[0],
            dict(
                type='TestTimeAug',
                transforms=[
                    [
                        dict(type='RandomFlip', prob=0.0),
                        dict(type='RandomFlip', prob=1.0),
                    ],
                    [load[1]],
                    pack,
                ],
            ),
        ],
        optim_wrapper=dict(
            type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)
        ),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2),
            visualization=dict(type='SegVisualizationHook', interval=1),
        ),
        visualizer=dict(
            type='SegLocalVisualizer',
            vis_backends=[dict(type='LocalVisBackend')],
        ),
    )
