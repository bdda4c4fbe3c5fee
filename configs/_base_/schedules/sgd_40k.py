_base_ = ['./sgd.py', './loops.py', '../default_runtime.py']
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, end=40000, by_epoch=False)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
