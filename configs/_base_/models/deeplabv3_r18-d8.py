_base_ = './resnet50-d8.py'
model = dict(
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(depth=18),
    decode_head=dict(
        type='ASPPHead',
        dilations=(1, 12, 24, 36),
        in_channels=512,
        channels=128,
    ),
    auxiliary_head=dict(in_channels=256, channels=64),
)
