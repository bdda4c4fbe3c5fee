# What all data sets share. They say where they lie and how images are resized;
# crops of 512x512 from images with a short side of 512 are the default.
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
resize = dict(type='RandomResize', ratio_range=(0.5, 2.0), keep_ratio=True)
crop = dict(type='RandomCrop', cat_max_ratio=0.75)
augment = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
crop_size = (512, 512)
scale = (2048, 512)
train_pipeline = [
    *load,
    dict(resize, scale=scale),
    dict(crop, crop_size=crop_size),
    *augment,
]
# for patches of 14 pixels: 37 x 37 of them
patches_pipeline = [
    *load,
    dict(resize, scale=scale),
    dict(crop, crop_size=(518, 518)),
    *augment,
]
# The label keeps its size: predictions are resized to it.
val_pipeline = [
    load[0],
    dict(type='Resize', scale=scale, keep_ratio=True),
    load[1],
    augment[-1],
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=val_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
