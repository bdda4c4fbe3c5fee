# ADE20K by the lists of a split, in data_root/splits/SPLIT: 1_64, 1_32, 1_16,
# 1_8, 1_4 or 1_2.
_base_ = './common.py'
head = dict(num_classes=150)
# The data set itself makes its label 0 (other) the ignored one.
ade = dict(type='ADE20KDataset', data_root='data/ade/ADEChallengeData2016')
known, held_out = (
    dict(img_path=f'images/{part}', seg_map_path=f'annotations/{part}')
    for part in ('training', 'validation')
)
labeled, others = (
    dict(ade, data_prefix=known, ann_file=f'splits/{{$SPLIT:1_16}}/{name}.txt')
    for name in ('labeled', 'unlabeled')
)
train_dataloader = dict(dataset=labeled)
unlabeled = dict(unlabeled_dataloader=dict(dataset=others))
val_dataloader = dict(dataset=dict(ade, data_prefix=held_out))
test_dataloader = val_dataloader
