model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=True,
    ),
    pretrained='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/vit_small_p16_384_20220308-410f6037.pth',  # noqa: E501
    backbone=dict(
        type='VisionTransformer',
        img_size=(512, 512),
        embed_dims=384,
        num_heads=6,
        drop_path_rate=0.1,
        final_norm=True,
        norm_cfg=dict(type='LN', eps=1e-6, requires_grad=True),
    ),
    decode_head=dict(
        type='SegmenterMaskTransformerHead',
        in_channels=384,
        channels=384,
        num_layers=2,
        num_heads=6,
        embed_dims=384,
        dropout_ratio=0.0,
    ),
    # windows of the size of the crops; positions are learnt for these
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(480, 480)),
)
