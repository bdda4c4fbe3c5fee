# Step 2: the student. Its teacher's weights come from step 1, or from the path
# or URL in the environment variable TEACHER.
_base_ = './deeplabv3_r101-d8_4xb2-jml-bls-40k_cityscapes-512x1024.py'
model = dict(
    pretrained='mmcls://mobilenet_v2',
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        widen_factor=1.0,
        strides=(1, 2, 2, 1, 1, 1, 1),
        dilations=(1, 1, 1, 2, 2, 4, 4),
        out_indices=(1, 2, 4, 6),
        norm_cfg={{_base_.norm_cfg}},
    ),
    decode_head=dict(
        in_channels=320,
        channels=128,
        loss_decode=dict(label_smoothing=None),
    ),
    auxiliary_head=dict(
        in_channels=96,
        channels=64,
        loss_decode=dict(label_smoothing=None),
    ),
)
custom_hooks = [
    dict(
        type='mmseg_jml.DistillationHook',
        teacher='{{fileDirname}}/'
        'deeplabv3_r101-d8_4xb2-jml-bls-40k_cityscapes-512x1024.py',
        checkpoint='{{$TEACHER:work_dirs/deeplabv3_r101-d8_4xb2-jml-bls-40k_cityscapes-512x1024/iter_40000.pth}}',  # noqa: E501
        loss={{_base_.main_loss}},
        auxiliary_loss={{_base_.auxiliary_loss}},
    )
]
