# Step 2: the student. Its teacher's weights come from step 1, or from the path
# or URL in the environment variable TEACHER.
_base_ = './deeplabv3_r101-d8_4xb2-jml-bls-40k_voc12aug-512x512.py'
model = dict(
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(depth=18),
    decode_head=dict(
        _delete_=True,
        type='PSPHead',
        in_channels=512,
        in_index=3,
        channels=128,
        pool_scales=(1, 2, 3, 6),
        dropout_ratio=0.1,
        num_classes=21,
        norm_cfg={{_base_.norm_cfg}},
        align_corners=False,
        loss_decode={{_base_.main_loss}},
    ),
    auxiliary_head=dict(
        in_channels=256,
        channels=64,
        loss_decode=dict(label_smoothing=None),
    ),
)
custom_hooks = [
    dict(
        type='mmseg_jml.DistillationHook',
        teacher='{{fileDirname}}/'
        'deeplabv3_r101-d8_4xb2-jml-bls-40k_voc12aug-512x512.py',
        checkpoint='{{$TEACHER:work_dirs/deeplabv3_r101-d8_4xb2-jml-bls-40k_voc12aug-512x512/iter_40000.pth}}',  # noqa: E501
        loss={{_base_.main_loss}},
        auxiliary_loss={{_base_.auxiliary_loss}},
    )
]
