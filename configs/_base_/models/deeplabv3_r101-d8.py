# DeepLabV3 with the names and sizes of mmseg's, so that its checkpoints load.
norm_cfg = dict(type='SyncBN', requires_grad=True)
# The losses of the recipe: 0.25 cross-entropy, half of it on each head, and
# 0.75 Jaccard metric loss on the main head.
main_loss = dict(
    type='mmseg_jml.JaccardMetricCELoss', ce_weight=0.125, jml_weight=0.75
)
auxiliary_loss = dict(
    type='mmseg_jml.JaccardMetricCELoss',
    ce_weight=0.125,
    jml_weight=0.0,
    loss_name='loss_ce',
)
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(
        type='ResNetV1c',
        depth=101,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        contract_dilation=True,
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
    ),
    decode_head=dict(
        type='ASPPHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        dilations=(1, 12, 24, 36),
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=main_loss,
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=1024,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=auxiliary_loss,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
