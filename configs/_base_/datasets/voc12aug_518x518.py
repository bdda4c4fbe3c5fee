# VOC 2012 in crops of 37 x 37 patches of 14 pixels. SPLIT names lists in
# data_root/splits, as in voc12_semi_512x512.py; without it, the images of 2012
# and of SBD have labels.
_base_ = './common.py'
crop_size = (518, 518)
head = dict(num_classes=21)
split = '{{$SPLIT:all}}'
lists = dict(
    SegmentationClass='ImageSets/Segmentation/train.txt',
    SegmentationClassAug='ImageSets/Segmentation/aug.txt',
)
if split != 'all':
    lists = {x: f'splits/{split}/labeled_{x}.txt' for x in lists}
    if split not in ('662', '1323', '2646'):
        del lists['SegmentationClassAug']
voc = dict(
    type='PascalVOCDataset',
    data_root='data/VOCdevkit/VOC2012',
    data_prefix=dict(img_path='JPEGImages'),
)
labels = [
    dict(
        voc,
        data_prefix=dict(voc['data_prefix'], seg_map_path=folder),
        ann_file=names,
        pipeline=_base_.patches_pipeline,
    )
    for folder, names in lists.items()
]
train_dataloader = dict(
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=labels)
)
others = dict(voc, ann_file=f'splits/{split}/unlabeled.txt')
unlabeled = dict(unlabeled_dataloader=dict(dataset=others))
val = dict(
    labels[0],
    ann_file='ImageSets/Segmentation/val.txt',
    pipeline=_base_.val_pipeline,
)
val_dataloader = dict(dataset=val)
test_dataloader = val_dataloader
