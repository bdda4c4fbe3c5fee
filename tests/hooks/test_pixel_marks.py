"""Which pixels of unlabelled images count, and which are measured."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmseg_jml.datasets.pixel_marks import FILLER, UNKNOWN, MarkPixels
from tests.tolerances import LOGGED

from .distillation import Lessons, build, forward, train
from .semi import PLAIN, learn, unlabeled

WHITE, BLACK = (255 - 128) / 64, (0 - 128) / 64
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
ROTATE = dict(type='RandomRotate', prob=1.0, degree=(30, 30), seg_pad_val=0)
CUT_OUT = dict(type='RandomCutOut', prob=1.0, n_holes=3, cutout_shape=(10, 10))


@pytest.mark.parametrize('own', [True, False])
@pytest.mark.parametrize(
    'filling',
    [
        [ROTATE],
        [CUT_OUT],
        [dict(type='RandomApply', prob=1.0, transforms=[CUT_OUT, ROTATE])],
        [dict(type='RandomChoice', transforms=[[ROTATE], [CUT_OUT, ROTATE]])],
    ],
)
def test_what_transforms_fill_in_is_not_learned(cfg, pictures, filling, own):
    """Images are white, so that all that is black was filled in."""
    for path in pictures.glob('*.png'):
        Image.new('RGB', (48, 48), 'white').save(path)
    crop = dict(type='RandomCrop', crop_size=(32, 32))
    pack = dict(type='PackSegInputs')
    loader = unlabeled(pictures)
    if own:
        pipeline = [LOAD[0], *filling, crop, pack]
        loader['dataset']['pipeline'] = copy.deepcopy(pipeline)
    else:
        pipeline = [*LOAD, *filling, crop, pack]
        cfg.train_dataloader.dataset.pipeline = pipeline
    lessons = Lessons()
    record, _ = learn(
        cfg,
        pictures,
        lessons,
        unlabeled_dataloader=loader,
        threshold=0.0,
        **PLAIN,
    )
    images = torch.cat([lesson.student.inputs for lesson in lessons.found])
    weights = torch.cat(
        [lesson.targets['decode'].weight for lesson in lessons.found]
    )
    black = (images < BLACK + 1e-3).all(1)
    white = (images > WHITE - 1e-3).all(1)
    assert black.sum() > 50
    assert not weights[black].any()
    assert weights[white].all()
    assert all(log['pseudo_confident'] == 1 for log in record.logs)


def labelled_loader(cfg) -> dict:
    loader = dict(dataset=copy.deepcopy(dict(cfg.train_dataloader.dataset)))
    loader['dataset'].pop('pipeline')
    return loader


def miou_by_hand(label, truth, classes) -> float:
    """Percent, of maps whose pixels that do not count are negative."""
    counted = (truth >= 0) & (truth < classes)
    ious = []
    for c in range(classes):
        one, two = (label == c) & counted, (truth == c) & counted
        if (one | two).any():
            ious.append((one & two).sum() / (one | two).sum())
    return 100 * float(sum(ious) / len(ious))


def predicted(cfg, record, images):
    student = build(cfg.model).eval()
    student.load_state_dict(record.start)
    with torch.no_grad():
        return forward(student, images)[0]


def test_labels_that_heads_ignore_are_not_measured(cfg, pictures):
    """The head's ignore_index is not 255."""
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.ignore_index = 100
    cfg.model.data_preprocessor.seg_pad_val = 100
    noise = Path(cfg.train_dataloader.dataset.data_root)
    for path in (noise / 'masks').glob('*.png'):
        mask = np.array(Image.open(path))
        mask[:, :10] = 100
        Image.fromarray(mask).save(path)
    record, steps = learn(
        cfg, pictures, unlabeled_dataloader=labelled_loader(cfg)
    )
    label = predicted(cfg, record, steps.images[0]).argmax(1)
    truth = torch.cat([s.gt_sem_seg.data for s in steps.samples[0]])
    assert (truth == 100).any()
    truth = torch.where(truth < 3, truth, -1)
    assert record.logs[0]['pseudo_mIoU'] == pytest.approx(
        miou_by_hand(label, truth, 3), rel=LOGGED
    )


@pytest.mark.filterwarnings('ignore:.*binary:UserWarning')
@pytest.mark.filterwarnings('ignore:threshold is not defined:UserWarning')
def test_one_class_in_one_channel(cfg, pictures):
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.update(num_classes=1, out_channels=1)
        head.loss_decode = dict(type='CrossEntropyLoss', use_sigmoid=True)
    dataset = cfg.train_dataloader.dataset
    dataset.metainfo.classes = ('road',)
    for path in (Path(dataset.data_root) / 'masks').glob('*.png'):
        Image.fromarray(np.array(Image.open(path)) % 2).save(path)
    record, steps = learn(
        cfg, pictures, unlabeled_dataloader=labelled_loader(cfg)
    )
    label = (predicted(cfg, record, steps.images[0])[:, 0] > 0).long()
    truth = torch.cat([s.gt_sem_seg.data for s in steps.samples[0]])
    assert record.logs[0]['pseudo_mIoU'] == pytest.approx(
        miou_by_hand(label, truth, 2), rel=LOGGED
    )


@pytest.mark.parametrize('missing', ['024', '13579', '0123456789'])
def test_images_of_which_some_have_masks(cfg, pictures, tmp_path, missing):
    """Those with a mask are measured, whichever they are."""
    loader = labelled_loader(cfg)
    loader['batch_size'] = 5
    loader['dataset']['data_root'] = str(tmp_path / 'some')
    shutil.copytree(tmp_path / 'noise', tmp_path / 'some')
    for number in missing:
        (tmp_path / f'some/masks/{number}.png').unlink()
    record, steps = learn(cfg, pictures, unlabeled_dataloader=loader)
    label = predicted(cfg, record, steps.images[0]).argmax(1)
    known = [
        i
        for i, sample in enumerate(steps.samples[0])
        if Path(sample.img_path).stem not in missing
    ]
    if not known:
        assert 'pseudo_mIoU' not in record.logs[0]
        return
    truth = torch.cat([steps.samples[0][i].gt_sem_seg.data for i in known])
    truth = torch.where(truth < 3, truth, -1)
    assert record.logs[0]['pseudo_mIoU'] == pytest.approx(
        miou_by_hand(label[known], truth, 3), rel=LOGGED
    )


@TRANSFORMS.register_module()
class TopLeft(BaseTransform):
    """Crops the image, and knows of no label."""

    def transform(self, results: dict) -> dict:
        results['img'] = results['img'][:24, :28]
        results['img_shape'] = (24, 28)
        return results


def test_marks_of_an_image():
    mark = MarkPixels()
    results = mark.transform(dict(img=np.zeros((2, 3, 3))))
    assert (results['gt_seg_map'] == UNKNOWN).all()
    assert results['gt_seg_map'].shape == (2, 3)
    assert results['seg_fields'] == ['gt_seg_map']
    label = np.array([[0, FILLER, 2]], np.uint8)
    results = dict(gt_seg_map=label, seg_fields=['gt_seg_map'])
    marked = mark.transform(results)['gt_seg_map']
    assert marked.tolist() == [[0, UNKNOWN, 2]]
    assert marked.dtype == np.uint8


def test_map_that_a_transform_of_the_user_leaves_behind(cfg, pictures):
    """Then only padding is known, as it is to the preprocessor."""
    loader = unlabeled(pictures)
    loader['dataset']['pipeline'] = [
        LOAD[0],
        dict(type='TopLeft'),
        dict(type='PackSegInputs'),
    ]
    record, steps = learn(
        cfg, pictures, unlabeled_dataloader=loader, threshold=0.0, **PLAIN
    )
    assert steps.images[0].shape == (2, 3, 32, 32)
    assert record.logs[0]['pseudo_confident'] == 1


def test_the_same_classes_in_another_spelling(cfg, pictures):
    loader = unlabeled(pictures)
    loader['dataset']['metainfo'] = dict(classes=('Sky', 'ro-ad', 'c_ar'))
    assert train(
        cfg,
        dict(type='mmseg_jml.PseudoLabelHook', unlabeled_dataloader=loader),
    ).logs
