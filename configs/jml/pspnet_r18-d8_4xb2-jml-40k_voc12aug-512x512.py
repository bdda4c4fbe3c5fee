_base_ = [
    '../_base_/models/pspnet_r18-d8.py',
    '../_base_/datasets/voc12aug_512x512.py',
    '../_base_/losses/jml.py',
    '../_base_/schedules/adamw_40k.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(_base_.head, loss_decode=_base_.main_loss),
    auxiliary_head=dict(_base_.head, loss_decode=_base_.auxiliary_loss),
)
