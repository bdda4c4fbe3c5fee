# The authors' schedule: 1 % of warm-up, then linear.
_base_ = ['./adamw.py', './loops.py', '../default_runtime.py']
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 60, end=800, by_epoch=False),
    dict(type='PolyLR', power=1.0, begin=800, end=80000, by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=80000, val_interval=8000)
default_hooks = dict(checkpoint=dict(interval=8000))
