# A linear classifier of the patches, whose last map the backbone normalises.
_base_ = './upernet_dinov2-small.py'
model = dict(
    backbone=dict(out_indices=(11,)),
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=384,
        channels=384,
        in_index=0,
        num_convs=0,
        concat_input=False,
    ),
)
