# The recipe, in this one place: 0.25 cross-entropy and 0.75 Jaccard metric
# loss on the main head; on auxiliary heads cross-entropy alone, with the 0.4
# that stock configs give it. The hooks have the same by default.
main_loss = dict(
    type='mmseg_jml.JaccardMetricCELoss', ce_weight=0.25, jml_weight=0.75
)
auxiliary_loss = dict(
    type='mmseg_jml.JaccardMetricCELoss',
    ce_weight=0.4,
    jml_weight=0.0,
    loss_name='loss_ce',
)
# for recipes that smooth labels on boundaries
smoothing = dict(mode='boundary', epsilon=0.5, kernel_size=3)
