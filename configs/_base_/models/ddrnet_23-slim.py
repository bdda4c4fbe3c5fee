_base_ = './encoder_decoder.py'
checkpoint = 'https://download.openmmlab.com/mmsegmentation/v0.5/ddrnet/pretrain/ddrnet23s-in1kpre_3rdparty-1ccac5b1.pth'  # noqa: E501
model = dict(
    backbone=dict(
        type='DDRNet',
        channels=32,
        ppm_channels=128,
        norm_cfg=_base_.norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint),
    ),
    decode_head=dict(
        type='DDRHead',
        in_channels=128,
        channels=64,
        dropout_ratio=0.0,
        norm_cfg=_base_.norm_cfg,
    ),
)
