_base_ = './common.py'
head = dict(num_classes=21)
voc = dict(type='PascalVOCDataset', data_root='data/VOCdevkit/VOC2012')
part = dict(voc, pipeline=_base_.train_pipeline)
# The 1,464 training images of 2012, and the 9,118 that others labelled.
parts = [
    dict(
        part,
        data_prefix=dict(img_path='JPEGImages', seg_map_path=folder),
        ann_file=f'ImageSets/Segmentation/{split}.txt',
    )
    for split, folder in (
        ('train', 'SegmentationClass'),
        ('aug', 'SegmentationClassAug'),
    )
]
train_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=parts)
)
val_dataloader = dict(
    dataset=dict(
        voc,
        data_prefix=dict(
            img_path='JPEGImages', seg_map_path='SegmentationClass'
        ),
        ann_file='ImageSets/Segmentation/val.txt',
    )
)
test_dataloader = val_dataloader
