_base_ = [
    '../_base_/models/upernet_dinov2-small.py',
    '../_base_/datasets/voc12aug_518x518.py',
    '../_base_/losses/jml.py',
    '../_base_/schedules/dinov2_80k.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(_base_.head, loss_decode=_base_.main_loss),
)
