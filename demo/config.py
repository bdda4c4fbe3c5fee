"""The config that all trainings of the demos share; see `experiments`."""

default_scope = 'mmseg'
classes = ('background', *'0123456789')
training, validation = (
    dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}')
    for split in ('training', 'validation')
)
transforms = 'LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs'
scenes = dict(
    type='BaseSegDataset',
    data_root='data/demo_scenes',
    metainfo=dict(classes=classes),
    img_suffix='.png',
    data_prefix=training,
    pipeline=[dict(type=name) for name in transforms],
)
train_dataloader = dict(
    batch_size=16,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=scenes,
)
test_dataloader = dict(
    batch_size=50,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(scenes, data_prefix=validation),
)
test_evaluator = [
    dict(type='IoUMetric'),
    dict(type='mmseg_jml.FineGrainedIoUMetric'),
    dict(type='mmseg_jml.CalibrationMetric', prefix='before'),
    dict(type='mmseg_jml.TemperatureMetric'),
]

# Semantic FPN on the first three stages of a ResNet-18 with a quarter of its
# width, which `experiments` sets: 0.2 million weights.
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[128] * 3,
        std=[64] * 3,
        bgr_to_rgb=True,
        size=(64, 64),
    ),
    backbone=dict(
        type='ResNetV1c',
        depth=18,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
    ),
    neck=dict(type='FPN', num_outs=3),
    decode_head=dict(
        type='FPNHead',
        in_index=[0, 1, 2],
        feature_strides=[4, 8, 16],
        num_classes=len(classes),
        norm_cfg=dict(type='BN'),
    ),
    test_cfg=dict(mode='whole'),
)

optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.015, weight_decay=0.01))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, by_epoch=False),
    dict(type='PolyLR', by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=10, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, max_keep_ckpts=2),
)
hooks = 'mmseg_jml.ExactResumeHook', 'mmseg_jml.HeadResolutionHook'
custom_hooks = [dict(type=name) for name in hooks]
log_processor = dict(by_epoch=False)
