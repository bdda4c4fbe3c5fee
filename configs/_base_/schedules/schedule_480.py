_base_ = './schedule_1400.py'
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = [
    dict(_base_.param_scheduler[0], end=48),
    dict(_base_.param_scheduler[1], begin=48, end=480),
]
train_cfg = dict(max_iters=480, val_interval=96)
