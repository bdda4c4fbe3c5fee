# Step 2, with unlabelled scenes.
_base_ = './fpn_r18-16_1xb8-jml-ce-1000-600_digit-scenes-64x64.py'
pseudo_label = dict(
    _base_.pseudo_label,
    soft=False,
    loss=dict(
        type='mmseg_jml.JaccardMetricCELoss', ce_weight=1.0, jml_weight=0.0
    ),
)
custom_hooks = [dict(type='mmseg_jml.ExactResumeHook'), pseudo_label]
