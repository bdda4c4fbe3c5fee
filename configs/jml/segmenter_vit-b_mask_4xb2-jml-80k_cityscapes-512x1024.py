_base_ = [
    '../_base_/models/segmenter_vit-b_mask.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/losses/jml.py',
    '../_base_/schedules/adamw_80k.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(img_size=_base_.crop_size),
    decode_head=dict(_base_.head, loss_decode=_base_.main_loss),
    test_cfg=dict(crop_size=_base_.crop_size, stride=(480, 992)),
)
