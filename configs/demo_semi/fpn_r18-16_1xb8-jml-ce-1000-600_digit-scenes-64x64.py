# Step 2, to compare with: more of the same, from the weights of step 1.
_base_ = './fpn_r18-16_1xb8-jml-ce-1000_digit-scenes-64x64.py'
load_from = '{{$START:work_dirs/start.pth}}'
optim_wrapper = dict(optimizer=dict(lr=0.01))
warm_up, decay = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=60),
    dict(decay, begin=60, end=600),
]
train_cfg = dict(max_iters=600, val_interval=120)
unlabeled_dataloader = dict(
    dataset=dict(
        type=_base_.dataset_type,
        data_root=_base_.data_root,
        data_prefix=_base_.train_dataloader.dataset.data_prefix,
        indices=800,
    )
)
pseudo_label = dict(
    type='mmseg_jml.PseudoLabelHook',
    unlabeled_dataloader=unlabeled_dataloader,
    momentum=0.99,  # of 600 iterations
    threshold=0.9,
)
