# Step 1: by the labels alone.
_base_ = [
    '../_base_/models/fpn_r18-16_digit-scenes.py',
    '../_base_/datasets/digit_scenes_semi.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/schedule_1000.py',
]
