# Step 1: the teacher, trained with smoothed boundaries.
_base_ = [
    '../_base_/models/deeplabv3_r101-d8.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/schedule_40k_adamw.py',
]
smoothing = dict(mode='boundary', epsilon=0.5, kernel_size=3)
model = dict(
    data_preprocessor=dict(size={{_base_.crop_size}}),
    decode_head=dict(loss_decode=dict(label_smoothing=smoothing)),
    auxiliary_head=dict(loss_decode=dict(label_smoothing=smoothing)),
)
