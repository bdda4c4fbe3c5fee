_base_ = [
    '../_base_/models/ddrnet_23-slim.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/losses/jml.py',
    '../_base_/schedules/sgd_80k.py',
]
checkpoint = 'https://download.openmmlab.com/mmsegmentation/v0.5/ddrnet/pretrain/ddrnet23-in1kpre_3rdparty-9ca29f62.pth'  # noqa: E501
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(channels=64, init_cfg=dict(checkpoint=checkpoint)),
    decode_head=dict(
        _base_.head,
        in_channels=256,
        channels=128,
        loss_decode=[_base_.main_loss, _base_.auxiliary_loss],
    ),
)
