# Step 1: by the labels alone. LABELED is their number; the demo sets it to a
# sixteenth and an eighth of the first 800 scenes.
_base_ = [
    '../_base_/models/fpn_r18-16.py',
    '../_base_/datasets/digit_scenes.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/schedule_1400.py',
]
crop_size = (64, 64)
model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(
        num_classes=11,
        loss_decode=dict(type='mmseg_jml.JaccardMetricCELoss'),
    ),
)
resize = dict(type='RandomResize', scale=crop_size, ratio_range=(0.75, 1.5))
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        indices=int('{{$LABELED:50}}'),
        pipeline=[
            *_base_.pipeline[:-1],
            dict(resize, keep_ratio=True),
            dict(type='RandomCrop', crop_size=crop_size),
            _base_.pipeline[-1],  # digits must not be flipped
        ],
    ),
)
warm_up, decay = _base_.param_scheduler
param_scheduler = [
    dict(warm_up, end=100),
    dict(decay, begin=100, end=1000),
]
train_cfg = dict(max_iters=1000, val_interval=200)
