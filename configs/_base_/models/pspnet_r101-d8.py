_base_ = './resnet50-d8.py'
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(depth=101),
    decode_head=dict(type='PSPHead', pool_scales=(1, 2, 3, 6)),
)
