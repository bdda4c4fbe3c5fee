# Cityscapes by the lists of a split, in data_root/splits/SPLIT: 1_30, 1_16,
# 1_8, 1_4 or 1_2.
_base_ = './common.py'
crop_size = (512, 1024)
head = dict(num_classes=19)
train_pipeline = [
    *_base_.load,
    dict(_base_.resize, scale=(2048, 1024)),
    dict(_base_.crop, crop_size=crop_size),
    *_base_.augment,
]
cityscapes = dict(type='CityscapesDataset', data_root='data/cityscapes')
images, labels = 'leftImg8bit', 'gtFine'
labeled = dict(img_path=f'{images}/train', seg_map_path=f'{labels}/train')
train_dataloader = dict(
    dataset=dict(
        cityscapes,
        data_prefix=labeled,
        ann_file='splits/{{$SPLIT:1_16}}/labeled.txt',
        pipeline=train_pipeline,
    )
)
others = dict(
    cityscapes,
    data_prefix=labeled,
    ann_file='splits/{{$SPLIT:1_16}}/unlabeled.txt',
)
unlabeled = dict(unlabeled_dataloader=dict(dataset=others))
validation = dict(img_path=f'{images}/val', seg_map_path=f'{labels}/val')
whole_images = [*_base_.load, _base_.augment[-1]]
val_dataloader = dict(
    dataset=dict(cityscapes, data_prefix=validation, pipeline=whole_images)
)
test_dataloader = val_dataloader
