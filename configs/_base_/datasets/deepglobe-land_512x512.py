# The first of five folds; images keep their 2448x2448 pixels.
_base_ = './common.py'
head = dict(num_classes=6)
fold = 0
land = dict(
    type='mmseg_jml.DeepGlobeLandDataset',
    data_root='data/deepglobe_land',
    data_prefix=dict(img_path='land-train', seg_map_path='annotations'),
)
train_pipeline = [
    *_base_.load,
    dict(_base_.resize, scale=(2448, 2448)),
    dict(_base_.crop, crop_size=_base_.crop_size),
    *_base_.augment,
]
train_dataloader = dict(
    dataset=dict(
        land,
        ann_file=f'splits/fold{fold}_train.txt',
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        land,
        ann_file=f'splits/fold{fold}_val.txt',
        pipeline=[*_base_.load, _base_.augment[-1]],
    )
)
test_dataloader = val_dataloader
