# UPerNet with DINOv2-B as trained by jml_dinov2 on ADE20K.
# Its weights lie where training leaves them, or where the environment variable
# TEACHER says.
_base_ = '../losses/jml.py'
custom_hooks = [
    dict(
        type='mmseg_jml.DistillationHook',
        teacher='{{fileDirname}}/../../jml_dinov2/'
        'upernet_dinov2-base_4xb2-jml-160k_ade20k-518x518.py',
        checkpoint='{{$TEACHER:work_dirs/upernet_dinov2-base_4xb2-jml-160k_ade20k-518x518/iter_160000.pth}}',  # noqa: E501
        loss=_base_.main_loss,
        auxiliary_loss=_base_.auxiliary_loss,
    )
]
