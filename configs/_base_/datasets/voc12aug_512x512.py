crop_size = (512, 512)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
pack = [dict(type='PackSegInputs')]
train_pipeline = [
    *load,
    dict(
        type='RandomResize',
        scale=(2048, 512),
        ratio_range=(0.5, 2.0),
        keep_ratio=True,
    ),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    *pack,
]
# The 1,464 training images of 2012, and the 9,118 that others labelled.
parts = [
    dict(
        type='PascalVOCDataset',
        data_root='data/VOCdevkit/VOC2012',
        data_prefix=dict(img_path='JPEGImages', seg_map_path=folder),
        ann_file=f'ImageSets/Segmentation/{split}.txt',
        pipeline=train_pipeline,
    )
    for split, folder in (
        ('train', 'SegmentationClass'),
        ('aug', 'SegmentationClassAug'),
    )
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='ConcatDataset', datasets=parts),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PascalVOCDataset',
        data_root='data/VOCdevkit/VOC2012',
        data_prefix=dict(
            img_path='JPEGImages', seg_map_path='SegmentationClass'
        ),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=[
            load[0],
            dict(type='Resize', scale=(2048, 512), keep_ratio=True),
            load[1],
            *pack,
        ],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
