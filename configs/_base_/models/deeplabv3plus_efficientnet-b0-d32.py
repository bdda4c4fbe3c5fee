# mmpretrain has no dilated EfficientNet: the stride is 32, and the dilations
# of the head are a quarter of those for stride 8. The widths are the authors'.
_base_ = './resnet50-d8.py'
weights = 'https://download.openmmlab.com/mmclassification/v0/efficientnet/efficientnet-b0_3rdparty_8xb32-aa-advprop_in1k_20220119-26434485.pth'  # noqa: E501
model = dict(
    # the weights were trained on values from -1 to 1
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmpretrain.EfficientNet',
        arch='b0',
        out_indices=(2, 3, 4, 6),
        norm_cfg=dict(_base_.norm_cfg, eps=1e-3),
        init_cfg=dict(
            type='Pretrained', checkpoint=weights, prefix='backbone'
        ),
    ),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=1280,
        channels=128,
        dilations=(1, 3, 6, 9),
        c1_in_channels=24,
        c1_channels=12,
    ),
    auxiliary_head=dict(in_channels=112, channels=64),
)
