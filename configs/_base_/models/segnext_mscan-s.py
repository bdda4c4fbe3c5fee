_base_ = './segnext_mscan-t.py'
weights = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segnext/mscan_s_20230227-f33ccdf2.pth'  # noqa: E501
model = dict(
    backbone=dict(
        embed_dims=[64, 128, 320, 512],
        depths=[2, 2, 4, 2],
        init_cfg=dict(checkpoint=weights),
    ),
    decode_head=dict(in_channels=[128, 320, 512]),
)
