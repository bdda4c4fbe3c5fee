_base_ = [
    '../_base_/models/fpn_r18-32.py',
    '../_base_/datasets/digit_scenes.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/schedule_1400.py',
]
jml = dict(type='mmseg_jml.JaccardMetricCELoss', use_sigmoid=False)
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(_base_.head, loss_decode=jml),
)
