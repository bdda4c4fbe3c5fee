_base_ = './resnet50-d8.py'
model = dict(
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(depth=18),
    decode_head=dict(
        type='PSPHead', pool_scales=(1, 2, 3, 6), in_channels=512, channels=128
    ),
    auxiliary_head=dict(in_channels=256, channels=64),
)
