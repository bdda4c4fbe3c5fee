_base_ = './resnet50-d8.py'
checkpoint = 'https://download.openmmlab.com/mmclassification/v0/mobilevit/mobilevit-small_3rdparty_in1k_20221018-cb4f741c.pth'  # noqa: E501
pretrained = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone')
model = dict(
    # the weights were trained on BGR values from 0 to 1
    data_preprocessor=dict(mean=[0] * 3, std=[255] * 3, bgr_to_rgb=False),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmpretrain.MobileViT',
        arch='small',
        out_indices=(1, 2, 3, 4),
        norm_cfg=_base_.norm_cfg,
        init_cfg=pretrained,
    ),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=640,
        channels=128,
        dilations=(1, 3, 6, 9),
        c1_in_channels=64,
        c1_channels=12,
    ),
    auxiliary_head=dict(in_channels=128, channels=64),
)
