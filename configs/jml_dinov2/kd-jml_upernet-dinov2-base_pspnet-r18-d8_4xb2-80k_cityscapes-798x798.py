_base_ = [
    '../_base_/models/pspnet_r18-d8.py',
    '../_base_/datasets/cityscapes_798x798.py',
    '../_base_/teachers/upernet_dinov2-base_cityscapes.py',
    '../_base_/schedules/adamw_80k.py',
]
# its auxiliary head has no partner, and learns from the main output
outputs = dict(decode='decode', aux='decode')
custom_hooks = [dict(_base_.custom_hooks[0], outputs=outputs)]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(_base_.head, loss_decode=_base_.main_loss),
    auxiliary_head=dict(_base_.head, loss_decode=_base_.auxiliary_loss),
)
