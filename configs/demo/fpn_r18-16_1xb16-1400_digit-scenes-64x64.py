_base_ = [
    '../_base_/models/fpn_r18-16.py',
    '../_base_/datasets/digit_scenes.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/schedule_1400.py',
]
model = dict(
    data_preprocessor=dict(size=(64, 64)), decode_head=dict(num_classes=11)
)
