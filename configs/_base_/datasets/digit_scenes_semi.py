# LABELED is the number of labelled scenes; the demo sets it to a sixteenth and
# an eighth of the first 800.
_base_ = './digit_scenes.py'
resize = dict(type='RandomResize', ratio_range=(0.75, 1.5), keep_ratio=True)
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        indices=int('{{$LABELED:50}}'),
        pipeline=[
            *_base_.pipeline[:-1],
            dict(resize, scale=_base_.crop_size),
            dict(type='RandomCrop', crop_size=_base_.crop_size),
            _base_.pipeline[-1],  # digits must not be flipped
        ],
    ),
)
