# mmpretrain's DINOv2 with patches of 14 pixels. A neck makes a pyramid of the
# maps after every third layer; UPerNet's head merges them from coarse to fine.
across_gpus = dict(type='SyncBN')
checkpoint = 'https://download.openmmlab.com/mmpretrain/v1.0/dinov2/vit-small-p14_dinov2-pre_3rdparty_20230426-5641ca5a.pth'  # noqa: E501
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        test_cfg=dict(size_divisor=14),
    ),
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='dinov2-small',
        img_size=518,
        patch_size=14,
        layer_scale_init_value=1e-5,
        out_type='featmap',
        out_indices=(2, 5, 8, 11),
        init_cfg=dict(
            type='Pretrained', checkpoint=checkpoint, prefix='backbone.'
        ),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=384, norm_cfg=across_gpus),
    decode_head=dict(
        type='UPerHead',
        in_channels=[384] * 4,
        in_index=(0, 1, 2, 3),
        channels=256,
        norm_cfg=across_gpus,
    ),
    test_cfg=dict(mode='whole'),
)
