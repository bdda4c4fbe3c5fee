_base_ = '../demo/fpn_r18-16_1xb16-jml-ce-1400_digit-scenes-64x64.py'
# half the width: the student of the distillation demo
model = dict(
    backbone=dict(stem_channels=8, base_channels=8),
    neck=dict(in_channels=[8, 16, 32], out_channels=16),
    decode_head=dict(in_channels=[16, 16, 16], channels=16),
)
