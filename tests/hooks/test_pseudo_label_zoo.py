"""Heads of every stock family learn from images without labels.

By default the families whose heads differ most; with the environment variable
``ZOO=all`` every family.
"""

from __future__ import annotations

import pytest

from mmseg_jml.config import replace_pixel_loss
from tests.zoo import catalog, stacks, trial

from .distillation import step
from .semi import PSEUDO, write_pictures
from .test_distillation_zoo import (
    OUTPUTS,
    parts,
    students,
    used_to_predict,
)

pytestmark = [
    pytest.mark.filterwarnings('ignore'),
    pytest.mark.usefixtures('device'),
]


@pytest.fixture(autouse=True)
def _imports(request):
    """Lets mmpretrain's backbones be imported."""
    if request.node.callspec.params['family'] in ('convnext', 'poolformer'):
        request.getfixturevalue('torchvision')


def images_for(cfg, side, folder) -> dict:
    """A whole loader, of images with the channels that a config wants."""
    write_pictures(folder / 'pictures', (side, side), 2)
    load = dict(type='LoadImageFromFile')
    channels = len(cfg.model.data_preprocessor.get('mean') or 'RGB')
    if channels == 1:
        load['color_type'] = 'grayscale'
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(folder / 'pictures'),
        data_prefix=dict(img_path=''),
        img_suffix='.png',
        pipeline=[load, dict(type='PackSegInputs')],
    )
    return dict(batch_size=2, num_workers=0, dataset=dataset)


@pytest.mark.parametrize('family', students())
def test_step(family, tmp_path):
    """All gradients come from pseudo labels, and reach the prediction."""
    cfg = catalog.read(students()[family])
    if students()[family] in stacks.stock_loss_cannot_run():
        replace_pixel_loss(cfg, 'JaccardMetricLoss')
    side = trial.SIDES.get(family, 64)
    trial.shrink(cfg, side)
    hook = dict(
        type=PSEUDO,
        unlabeled_dataloader=images_for(cfg, side, tmp_path),
        threshold=0.0,
        label_weight=0.0,
        loss_weight=1.0,
    )
    record = step(cfg, side, hook, tmp_path)
    log, gradients = record.logs[0], record.gradients[0]
    assert log['pseudo_confident'] == 1
    terms = [name for name in log if 'loss_pseudo' in name]
    main = OUTPUTS.get(family, ['decode'])[0].partition('.')[0]
    assert terms[0].startswith(f'{main}.')
    assert all(log[name] > 0 for name in terms)
    assert log['loss'] == pytest.approx(sum(log[name] for name in terms))
    assert all(g.isfinite().all() for g in gradients.values())
    moved = {name for name, g in gradients.items() if g.any()}
    if family != 'point_rend':  # whose point head refines what learned
        assert parts(moved) == parts(used_to_predict(record.model, side))
