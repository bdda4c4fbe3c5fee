_base_ = './encoder_decoder.py'
checkpoint = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/pidnet/pidnet-s_imagenet1k_20230306-715e6273.pth'  # noqa: E501
model = dict(
    backbone=dict(
        type='PIDNet',
        channels=32,
        ppm_channels=96,
        num_stem_blocks=2,
        num_branch_blocks=3,
        align_corners=False,
        norm_cfg=_base_.norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint),
    ),
    decode_head=dict(
        type='PIDHead',
        in_channels=128,
        channels=128,
        norm_cfg=_base_.norm_cfg,
        align_corners=True,
    ),
)
