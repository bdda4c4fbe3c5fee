_base_ = './encoder_decoder.py'
fcn = dict(
    type='FCNHead',
    channels=64,
    num_convs=1,
    concat_input=False,
    norm_cfg=_base_.norm_cfg,
)
model = dict(
    data_preprocessor=dict(test_cfg=dict(size_divisor=16)),
    backbone=dict(type='UNet', norm_cfg=_base_.norm_cfg),
    decode_head=dict(fcn, in_channels=64, in_index=4),
    auxiliary_head=dict(fcn, in_channels=128, in_index=3),
)
