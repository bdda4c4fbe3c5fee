_base_ = './fpn_r18-8_1xb16-jml-ce-1400_digit-scenes-64x64.py'
custom_hooks = [
    dict(type='mmseg_jml.ExactResumeHook'),
    dict(
        type='mmseg_jml.DistillationHook',
        teacher='{{fileDirname}}/'
        'fpn_r18-32_1xb16-jml-ce-1400_digit-scenes-64x64.py',
        checkpoint='{{$TEACHER:work_dirs/teacher.pth}}',
    ),
]
