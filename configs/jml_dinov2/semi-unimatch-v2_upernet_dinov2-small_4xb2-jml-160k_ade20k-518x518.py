_base_ = [
    '../_base_/models/upernet_dinov2-small.py',
    '../_base_/datasets/ade20k_518x518.py',
    '../_base_/losses/jml.py',
    '../_base_/schedules/dinov2_160k.py',
    '../_base_/pseudo_labels/unimatch_v2.py',
]
custom_hooks = [dict(_base_.pseudo_label, **_base_.unlabeled)]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(_base_.head, loss_decode=_base_.main_loss),
)
