_base_ = './schedule_1400.py'
param_scheduler = [
    dict(_base_.param_scheduler[0], end=80),
    dict(_base_.param_scheduler[1], begin=80, end=800),
]
train_cfg = dict(max_iters=800, val_interval=160)
