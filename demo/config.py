"""The config that all trainings of the demos share; see `experiments`."""

default_scope = 'mmseg'
classes = ('background', *'0123456789')
scenes = dict(
    type='BaseSegDataset',
    data_root='data/demo_scenes',
    metainfo=dict(classes=classes),
    img_suffix='.png',
    data_prefix=dict(
        img_path='images/training', seg_map_path='annotations/training'
    ),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs'),
    ],
)
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=scenes,
)
validation = dict(
    img_path='images/validation', seg_map_path='annotations/validation'
)
test_dataloader = dict(
    batch_size=50,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(scenes, data_prefix=validation),
)
test_evaluator = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='mmseg_jml.FineGrainedIoUMetric'),
    dict(type='mmseg_jml.CalibrationMetric', prefix='before'),
    dict(type='mmseg_jml.TemperatureMetric'),
]

# Semantic FPN on the first three stages of a ResNet-18 with a quarter of its
# width: 0.2 million weights.
norm_cfg = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[128, 128, 128],
        std=[64, 64, 64],
        bgr_to_rgb=True,
        size=(64, 64),
    ),
    backbone=dict(
        type='ResNetV1c',
        depth=18,
        stem_channels=16,
        base_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        norm_cfg=norm_cfg,
    ),
    neck=dict(
        type='FPN', in_channels=[16, 32, 64], out_channels=32, num_outs=3
    ),
    decode_head=dict(
        type='FPNHead',
        in_channels=[32, 32, 32],
        in_index=[0, 1, 2],
        feature_strides=[4, 8, 16],
        channels=32,
        num_classes=len(classes),
        norm_cfg=norm_cfg,
        align_corners=False,
    ),
    test_cfg=dict(mode='whole'),
)

optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.015, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, end=40, by_epoch=False),
    dict(type='PolyLR', begin=40, end=400, by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=400)
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=10, log_metric_by_epoch=False),
    checkpoint=dict(
        type='CheckpointHook', by_epoch=False, interval=100, max_keep_ckpts=2
    ),
)
custom_hooks = [
    dict(type='mmseg_jml.ExactResumeHook'),
    dict(type='mmseg_jml.HeadResolutionHook'),
]
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
)
log_processor = dict(by_epoch=False)
