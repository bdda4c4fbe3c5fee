_base_ = './common.py'
crop_size = (512, 1024)
head = dict(num_classes=19)
train_pipeline = [
    *_base_.load,
    dict(_base_.resize, scale=(2048, 1024)),
    dict(_base_.crop, crop_size=crop_size),
    *_base_.augment,
]
whole = [*_base_.load, _base_.augment[-1]]
city = dict(type='CityscapesDataset', data_root='data/cityscapes')
train = dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')
val = dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val')
train_dataloader = dict(
    dataset=dict(city, data_prefix=train, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(city, data_prefix=val, pipeline=whole))
test_dataloader = val_dataloader
