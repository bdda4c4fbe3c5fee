_base_ = './schedule_1400.py'
param_scheduler = [
    dict(_base_.param_scheduler[0], end=100),
    dict(_base_.param_scheduler[1], begin=100, end=1000),
]
train_cfg = dict(max_iters=1000, val_interval=200)
