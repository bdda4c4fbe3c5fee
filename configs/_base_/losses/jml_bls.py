# Labels smoothed on boundaries, on every head.
_base_ = './jml.py'
main_loss = dict(label_smoothing=_base_.smoothing)
auxiliary_loss = dict(label_smoothing=_base_.smoothing)
