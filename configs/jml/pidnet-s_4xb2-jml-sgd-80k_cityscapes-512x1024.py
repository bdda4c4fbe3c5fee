_base_ = [
    '../_base_/models/pidnet-s.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/losses/jml.py',
    '../_base_/schedules/sgd_80k.py',
]
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(
        _base_.head,
        loss_decode=[
            _base_.auxiliary_loss,
            _base_.main_loss,
            dict(type='BoundaryLoss', loss_weight=20.0),
            dict(type='OhemCrossEntropy', thres=0.9, min_kept=131072),
        ],
    ),
)
# the boundary branch learns from the edges of the label
edges = dict(type='GenerateEdge', edge_width=4)
train_pipeline = [*_base_.train_pipeline[:-1], edges, _base_.augment[-1]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
