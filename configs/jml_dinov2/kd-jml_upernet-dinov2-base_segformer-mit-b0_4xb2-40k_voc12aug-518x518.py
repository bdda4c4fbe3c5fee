_base_ = [
    '../_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/voc12aug_518x518.py',
    '../_base_/teachers/upernet_dinov2-base_voc12aug.py',
    '../_base_/schedules/adamw_40k.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(_base_.head, loss_decode=_base_.main_loss),
)
