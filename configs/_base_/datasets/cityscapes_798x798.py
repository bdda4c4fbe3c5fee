# Cityscapes in crops of 57 x 57 patches of 14 pixels. The environment variable
# SPLIT names lists in data_root/splits; without it, all images have labels.
_base_ = './common.py'
crop_size = (798, 798)
head = dict(num_classes=19)
# windows that overlap by a third, as UniMatch V2's
windows = dict(mode='slide', crop_size=crop_size, stride=(532, 532))
pipeline = [
    *_base_.load,
    dict(_base_.resize, scale=(2048, 1024)),
    dict(_base_.crop, crop_size=crop_size),
    *_base_.augment,
]
city = dict(type='CityscapesDataset', data_root='data/cityscapes')
train, val = (
    dict(img_path=f'leftImg8bit/{part}', seg_map_path=f'gtFine/{part}')
    for part in ('train', 'val')
)
split = '{{$SPLIT:all}}'
listed = '' if split == 'all' else f'splits/{split}/labeled.txt'
known, others = (
    dict(city, data_prefix=train, ann_file=names)
    for names in (listed, f'splits/{split}/unlabeled.txt')
)
train_dataloader = dict(dataset=dict(known, pipeline=pipeline))
unlabeled = dict(unlabeled_dataloader=dict(dataset=others))
seen_whole = [*_base_.load, _base_.augment[-1]]
val_dataloader = dict(dataset=dict(city, data_prefix=val, pipeline=seen_whole))
test_dataloader = val_dataloader
