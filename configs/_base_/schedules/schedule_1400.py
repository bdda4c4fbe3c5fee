optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.015, weight_decay=0.01),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, end=140, by_epoch=False),
    dict(type='PolyLR', power=1.0, begin=140, end=1400, by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1400, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # With one alone, a run killed between removing it and writing the next
    # would have none to go on from.
    checkpoint=dict(
        type='CheckpointHook', by_epoch=False, interval=200, max_keep_ckpts=2
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
custom_hooks = [dict(type='mmseg_jml.ExactResumeHook')]
