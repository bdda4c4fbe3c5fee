_base_ = './fpn_r18-16_1xb16-1400_digit-scenes-64x64.py'
model = dict(
    decode_head=dict(
        loss_decode=dict(
            type='mmseg_jml.JaccardMetricCELoss',
            label_smoothing=dict(mode='boundary', epsilon=0.5, kernel_size=3),
        )
    )
)
