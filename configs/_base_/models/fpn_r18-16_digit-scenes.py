# With the classes, the size and the loss of the semi-supervised demo.
_base_ = './fpn_r18-16.py'
model = dict(
    data_preprocessor=dict(size=(64, 64)),
    decode_head=dict(
        num_classes=11,
        loss_decode=dict(type='mmseg_jml.JaccardMetricCELoss'),
    ),
)
