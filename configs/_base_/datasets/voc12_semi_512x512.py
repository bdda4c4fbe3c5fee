# VOC 2012 aug by the lists of a split, in data_root/splits/SPLIT. 92, 183,
# 366, 732 and 1464 have labels of 2012; the others blend in those of SBD.
_base_ = './common.py'
head = dict(num_classes=21)
split = '{{$SPLIT:732}}'
blended = split in ('662', '1323', '2646')
voc = dict(type='PascalVOCDataset', data_root='data/VOCdevkit/VOC2012')
labeled = [
    dict(
        voc,
        data_prefix=dict(img_path='JPEGImages', seg_map_path=folder),
        ann_file=f'splits/{split}/labeled_{folder}.txt',
        pipeline=_base_.train_pipeline,
    )
    for folder in ('SegmentationClass', 'SegmentationClassAug')[: 1 + blended]
]
train_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=labeled)
)
others = dict(
    voc,
    data_prefix=dict(img_path='JPEGImages'),
    ann_file=f'splits/{split}/unlabeled.txt',
)
unlabeled = dict(unlabeled_dataloader=dict(dataset=others))
val = dict(img_path='JPEGImages', seg_map_path='SegmentationClass')
val_dataloader = dict(
    dataset=dict(
        voc, data_prefix=val, ann_file='ImageSets/Segmentation/val.txt'
    )
)
test_dataloader = val_dataloader
