# The average's probabilities are the label of cross-entropy and Jaccard metric
# loss.
pseudo_label = dict(
    type='mmseg_jml.PseudoLabelHook',
    teacher='ema',
    momentum=0.996,
    threshold=0.95,
    soft=True,
)
