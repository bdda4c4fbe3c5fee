# Step 2 of the semi-supervised demo goes on from the weights in START.
start = '{{$START:work_dirs/start.pth}}'
scenes = dict(
    type='mmseg_jml.DigitScenesDataset',
    data_root='data/digit_scenes',
    data_prefix=dict(
        img_path='images/training', seg_map_path='annotations/training'
    ),
    indices=800,
)
pseudo_label = dict(
    type='mmseg_jml.PseudoLabelHook',
    unlabeled_dataloader=dict(dataset=scenes),
    momentum=0.99,  # of 600 iterations
    threshold=0.9,
)
