# A linear classifier of the patches, whose last map the backbone normalises.
_base_ = './upernet_dinov2-small.py'
checkpoint = 'https://download.openmmlab.com/mmpretrain/v1.0/dinov2/vit-base-p14_dinov2-pre_3rdparty_20230426-ba246503.pth'  # noqa: E501
model = dict(
    backbone=dict(
        arch='base',
        out_indices=(11,),
        init_cfg=dict(checkpoint=checkpoint),
    ),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=768,
        channels=768,
        in_index=0,
        num_convs=0,
        concat_input=False,
    ),
)
