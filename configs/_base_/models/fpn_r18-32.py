# Twice the width.
_base_ = './fpn_r18-16.py'
model = dict(
    backbone=dict(stem_channels=32, base_channels=32),
    neck=dict(in_channels=[32, 64, 128], out_channels=64),
    decode_head=dict(in_channels=[64, 64, 64], channels=64),
)
