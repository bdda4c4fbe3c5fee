_base_ = ['./sgd.py', './loops.py', '../default_runtime.py']
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, end=160000, by_epoch=False)
]
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=160000, val_interval=16000
)
default_hooks = dict(checkpoint=dict(interval=16000))
