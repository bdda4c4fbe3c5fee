# Half the width.
_base_ = './fpn_r18-16.py'
model = dict(
    backbone=dict(stem_channels=8, base_channels=8),
    neck=dict(in_channels=[8, 16, 32], out_channels=16),
    decode_head=dict(in_channels=[16, 16, 16], channels=16),
)
