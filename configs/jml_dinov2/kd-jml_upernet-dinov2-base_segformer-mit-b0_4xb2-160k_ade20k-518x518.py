_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/ade20k_518x518.py',
    '../_base_/teachers/upernet_dinov2-base_ade20k.py',
    '../_base_/schedules/adamw_160k.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(_base_.head, loss_decode=_base_.main_loss),
)
