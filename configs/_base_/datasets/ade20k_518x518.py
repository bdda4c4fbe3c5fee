# ADE20K in crops of 37 x 37 patches of 14 pixels. The environment variable
# SPLIT names lists in data_root/splits; without it, all images have labels.
_base_ = './common.py'
crop_size = (518, 518)
head = dict(num_classes=150)
ade = dict(type='ADE20KDataset', data_root='data/ade/ADEChallengeData2016')
train, val = (
    dict(img_path=f'images/{part}', seg_map_path=f'annotations/{part}')
    for part in ('training', 'validation')
)
split = '{{$SPLIT:all}}'
listed = '' if split == 'all' else f'splits/{split}/labeled.txt'
labels = dict(
    ade,
    data_prefix=train,
    ann_file=listed,
    pipeline=_base_.patches_pipeline,
)
others = dict(ade, data_prefix=train, ann_file=f'splits/{split}/unlabeled.txt')
train_dataloader = dict(dataset=labels)
unlabeled = dict(unlabeled_dataloader=dict(dataset=others))
val_dataloader = dict(dataset=dict(ade, data_prefix=val))
test_dataloader = val_dataloader
