"""A config as users have it, small enough to train within a second."""

import pytest

from tests.tiny_run import tiny_config, write_images


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    """Writes a config with stock losses and its images; returns its path."""
    root = tmp_path_factory.mktemp('tiny')
    write_images(root / 'data')
    cfg = tiny_config(root / 'data', root)
    for key in ('work_dir', 'custom_hooks', 'custom_imports'):
        del cfg._cfg_dict[key]
    cfg.merge_from_dict(
        dict(
            model=stock_losses(cfg.model.decode_head),
            train_cfg=dict(max_iters=4, val_interval=4),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(interval=2),
                visualization=dict(type='SegVisualizationHook', interval=1),
            ),
            visualizer=dict(
                type='SegLocalVisualizer',
                vis_backends=[dict(type='LocalVisBackend')],
            ),
            test_dataloader=cfg.val_dataloader,
            test_evaluator=cfg.val_evaluator,
            test_cfg=dict(type='TestLoop'),
            tta_model=dict(type='SegTTAModel'),
            tta_pipeline=flipped_and_not(),
        )
    )
    cfg.dump(root / 'tiny.py')
    return root / 'tiny.py'


def stock_losses(head):
    """Gives the model cross-entropy, and an auxiliary head."""
    entry = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)
    return dict(
        decode_head=dict(loss_decode=dict(entry, _delete_=True)),
        auxiliary_head=dict(
            head, loss_decode=entry, in_channels=8, in_index=1
        ),
    )


def flipped_and_not():
    flips = [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)]
    label, pack = dict(type='LoadAnnotations'), dict(type='PackSegInputs')
    augmented = dict(type='TestTimeAug', transforms=[flips, [label], [pack]])
    return [dict(type='LoadImageFromFile'), augmented]
