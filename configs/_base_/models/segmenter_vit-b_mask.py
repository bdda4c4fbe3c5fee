_base_ = './segmenter_vit-s_mask.py'
model = dict(
    pretrained='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segmenter/vit_base_p16_384_20220308-96dfe169.pth',  # noqa: E501
    backbone=dict(embed_dims=768, num_heads=12),
    decode_head=dict(
        in_channels=768, channels=768, num_heads=12, embed_dims=768
    ),
)
