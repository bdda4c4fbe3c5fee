_base_ = '../demo/fpn_r18-16_1xb16-jml-ce-1400_digit-scenes-64x64.py'
# twice the width: the teacher of the distillation demo
model = dict(
    backbone=dict(stem_channels=32, base_channels=32),
    neck=dict(in_channels=[32, 64, 128], out_channels=64),
    decode_head=dict(in_channels=[64, 64, 64], channels=64),
)
