# An average of the student labels the images; cross-entropy learns what it is
# sure of. "Mean teachers are better role models" (arXiv 1703.01780), with
# labels for consistency as in later work.
pseudo_label = dict(
    type='mmseg_jml.PseudoLabelHook',
    teacher='ema',
    momentum=0.996,
    threshold=0.95,
    soft=False,
    loss=dict(
        type='mmseg_jml.JaccardMetricCELoss', ce_weight=1.0, jml_weight=0.0
    ),
)
