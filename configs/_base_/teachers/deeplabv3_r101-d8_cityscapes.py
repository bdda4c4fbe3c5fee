# The DeepLabV3-R101 of step 1 on Cityscapes. Its weights lie where that step
# leaves them, or where the environment variable TEACHER says.
_base_ = '../losses/jml.py'
main_loss = dict(_base_.main_loss, ce_weight=0.125)
auxiliary_loss = dict(_base_.auxiliary_loss, ce_weight=0.125)
custom_hooks = [
    dict(
        type='mmseg_jml.DistillationHook',
        teacher='{{fileDirname}}/../../jml_kd/'
        'deeplabv3_r101-d8_4xb2-jml-bls-40k_cityscapes-512x1024.py',
        checkpoint='{{$TEACHER:work_dirs/deeplabv3_r101-d8_4xb2-jml-bls-40k_cityscapes-512x1024/iter_40000.pth}}',  # noqa: E501
        loss=main_loss,
        auxiliary_loss=auxiliary_loss,
    )
]
