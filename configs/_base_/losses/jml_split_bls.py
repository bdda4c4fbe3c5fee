# For a teacher, as in the authors' code: the 0.25 of cross-entropy is split
# evenly between main and auxiliary head, and boundaries are smoothed.
_base_ = './jml.py'
main_loss = dict(ce_weight=0.125, label_smoothing=_base_.smoothing)
auxiliary_loss = dict(ce_weight=0.125, label_smoothing=_base_.smoothing)
