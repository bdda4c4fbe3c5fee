# The authors' optimizer: ten times the rate in the heads, and no decay of
# parameters with one dimension.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmseg_jml.FlatDecayConstructor',
    optimizer=dict(type='AdamW', lr=6e-5, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=10.0))),
)
