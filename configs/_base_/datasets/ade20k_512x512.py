_base_ = './common.py'
head = dict(num_classes=150)
# The data set itself makes its label 0 (other) the ignored one.
ade = dict(type='ADE20KDataset', data_root='data/ade/ADEChallengeData2016')
train, val = (
    dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}')
    for split in ('training', 'validation')
)
train_dataloader = dict(dataset=dict(ade, data_prefix=train))
val_dataloader = dict(dataset=dict(ade, data_prefix=val))
test_dataloader = val_dataloader
