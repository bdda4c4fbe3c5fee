_base_ = './resnet50-d8.py'
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(depth=101),
    decode_head=dict(type='ASPPHead', dilations=(1, 12, 24, 36)),
)
