# Rates of UniMatch V2 (arXiv 2410.10777): 40 times as much in what is new, and
# a fall by a power of 0.9 to 0.
_base_ = ['./adamw.py', './loops.py', '../default_runtime.py']
new = dict(lr_mult=40.0)
optim_wrapper = dict(
    optimizer=dict(lr=5e-6),
    paramwise_cfg=dict(custom_keys=dict(head=new, neck=new)),
)
param_scheduler = [dict(type='PolyLR', power=0.9, end=80000, by_epoch=False)]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=80000, val_interval=8000)
default_hooks = dict(checkpoint=dict(interval=8000))
