_base_ = './segnext_mscan-t.py'
weights = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segnext/mscan_b_20230227-3ab7d230.pth'  # noqa: E501
model = dict(
    backbone=dict(
        embed_dims=[64, 128, 320, 512],
        depths=[3, 3, 12, 3],
        init_cfg=dict(checkpoint=weights),
    ),
    decode_head=dict(
        in_channels=[128, 320, 512], channels=512, ham_channels=512
    ),
)
