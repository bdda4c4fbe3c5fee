# The teacher of the distillation demo, whose weights lie where TEACHER says.
distillation = dict(
    type='mmseg_jml.DistillationHook',
    teacher='{{fileDirname}}/../../demo_kd/'
    'fpn_r18-32_1xb16-jml-ce-1400_digit-scenes-64x64.py',
    checkpoint='{{$TEACHER:work_dirs/teacher.pth}}',
)
