# Step 2, to compare with: more of the same.
_base_ = [
    '../_base_/models/fpn_r18-16_digit-scenes.py',
    '../_base_/datasets/digit_scenes_semi.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/schedule_600.py',
    '../_base_/pseudo_labels/digit_scenes.py',
]
load_from = _base_.start
