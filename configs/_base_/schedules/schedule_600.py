_base_ = './schedule_1400.py'
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [
    dict(_base_.param_scheduler[0], end=60),
    dict(_base_.param_scheduler[1], begin=60, end=600),
]
train_cfg = dict(max_iters=600, val_interval=120)
