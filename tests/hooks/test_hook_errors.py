"""What hooks refuse within a run, and what its log says then."""

import copy
import os
import shutil
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.runner import Runner
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS, TRANSFORMS

from mmseg_jml.hooks import DistillationHook, PseudoLabelHook
from tests.tools import run

from . import runs, semi

LIST = 'unlabeled_dataloader to list images but got'
CHECK = ' Check data_root'
EMPTY = dict(img_path='empty')
OTHERS = ('sky', 'car', 'road', 'sea')
NEXT = 'unlabeled_dataloader to give the next images but got'
URL = 'http://127.0.0.1:9/'
MISSING = FileNotFoundError


@pytest.mark.parametrize(
    ('paths', 'match', 'error'),
    [
        (dict(checkpoint='no.pth'), "checkpoint .* but got 'no.pth'", MISSING),
        (dict(checkpoint=f'{URL}a.pth'), f'{URL}.*out of reach', ValueError),
        (dict(teacher='a.py'), "teacher .* got 'a.py', which is no", MISSING),
        (dict(teacher=dict(a=1)), 'segmentor in model .* keys a', ValueError),
    ],
)
def test_what_is_not_there(cfg, teacher, paths, match, error):
    runs.refuse(cfg, match, runs.distil(teacher | paths), error)


@pytest.mark.parametrize('damage', ['cut', 'text', 'empty', 'tensor'])
def test_damaged_checkpoint(cfg, teacher, damage):
    path = Path(teacher['checkpoint'])
    half = path.read_bytes()[: path.stat().st_size // 2]
    torch.save(torch.zeros(2), path)
    match = 'dictionary but got Tensor'
    if damage != 'tensor':
        path.write_bytes(dict(cut=half, text=b'teacher', empty=b'')[damage])
        match = "teacher1.pth' to hold weights .* damaged"
    runs.refuse(cfg, match, runs.distil(teacher))


SWAPPED = ('sky', 'car', 'road')
IN_ORDER = (
    r'of the student, in their order \(sky, road, car\), but got one of '
    'sky, car, road'
)


@pytest.mark.parametrize(
    ('meta', 'match'),
    [
        (dict(best=Fraction(1, 2)), '(?s)could run code: .*Fraction'),
        (dict(dataset_meta=dict(classes=SWAPPED)), IN_ORDER),
        (dict(dataset_meta=dict(CLASSES=SWAPPED)), IN_ORDER),
        (dict(CLASSES=SWAPPED), IN_ORDER),
    ],
)
def test_checkpoint_of_something_else(cfg, teacher, meta, match):
    runs.change_checkpoint(teacher, meta=meta)
    runs.refuse(cfg, match, runs.distil(teacher))


def test_only_weights_are_loaded_whatever_the_version(
    cfg, teacher, monkeypatch
):
    """Versions of torch before 2.6 unpickle anything, unless told not to."""

    def load(*args, **kwargs):
        forced.append(os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD'))
        return original(*args, **kwargs)

    forced, original = [], torch.load
    monkeypatch.setattr(torch, 'load', load)
    runs.train(cfg, runs.distil(teacher))
    assert forced == ['1']
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


def test_weights_of_another_model(cfg, teacher):
    whole = runs.weights_of(teacher)
    state = {k: v for k, v in whole.items() if 'decoder.0' not in k}
    gone = len(whole) - len(state)
    state['decode_head.foreign'] = torch.zeros(1)
    state['decode_head.conv_seg.bias'] = torch.zeros(7)
    runs.change_checkpoint(teacher, state_dict=state)
    match = (
        rf'{gone} missing: backbone.decoder.0.* \.\.\.; '
        '1 unexpected: decode_head.foreign; 1 of another shape: '
        r'decode_head.conv_seg.bias \(7,\) for \(3,\)'
    )
    runs.refuse(cfg, match, runs.distil(teacher))


def test_weights_saved_by_a_wrapped_model_load(cfg, teacher):
    state = {f'module.{k}': v for k, v in runs.weights_of(teacher).items()}
    torch.save(state, teacher['checkpoint'])
    runs.train(cfg, runs.distil(teacher))


def test_classes_in_another_spelling_or_none(cfg, teacher, pictures):
    classes = ('Sky', 'ro-ad', 'c_ar')
    runs.change_checkpoint(teacher, meta=dict(CLASSES=classes))
    runs.train(cfg, runs.distil(teacher))
    loader = semi.unlabeled(pictures)
    loader['dataset']['metainfo'] = dict(classes=classes)
    assert semi.learn(cfg, loader)[0].logs
    loader['dataset'].pop('metainfo')
    assert semi.learn(cfg, loader)[0].logs


def test_other_number_of_classes(cfg, tmp_path):
    model = copy.deepcopy(cfg.model)
    runs.set_heads(model, num_classes=5)
    match = (
        r'3 classes of the student \(sky, road, car\) but got one of 5 '
        r'\(sky, road, car\)'
    )
    runs.refuse(cfg, match, runs.distil(runs.write_teacher(tmp_path, model)))


def test_teacher_of_nan(cfg, teacher):
    state = runs.weights_of(teacher)
    state['decode_head.conv_seg.bias'][1] = float('nan')
    runs.change_checkpoint(teacher, state_dict=state)
    match = "'decode' of the teacher .*teacher1.pth"
    runs.refuse(cfg, match, runs.distil(teacher), FloatingPointError)


@pytest.mark.parametrize(
    ('outputs', 'match'),
    [
        (dict(decode='aux_1'), "teacher, decode, aux, but got 'aux_1'"),
        (dict(aux_2='decode'), "output of decode, aux .* but got 'aux_2'"),
        (
            {'decode.1': 'decode'},
            'all pixels of decode.1 to its losses but got those of decode',
        ),
        (['aux_1'], 'aux_1'),
        (['decode.1'], 'decode.1'),
    ],
)
def test_outputs_that_there_are_not(cfg, teacher, pictures, outputs, match):
    hook = semi.pseudo(pictures, outputs=outputs)
    if isinstance(outputs, dict):
        hook = runs.distil(teacher, outputs=outputs)
    runs.refuse(cfg, match, hook)


@pytest.mark.parametrize('loss', ['DiceLoss', 'CrossEntropyLoss'])
def test_losses_that_take_labels(cfg, teacher, pictures, loss):
    match = f'takes soft targets, .*KLDivergenceLoss, but got {loss!r}'
    hook = dict(loss=dict(type=loss))
    runs.refuse(cfg, match, runs.distil(teacher, **hook))
    runs.refuse(cfg, match, semi.pseudo(pictures, **hook))


@MODELS.register_module('MasksHead')
class MaskFormerHead(FCNHead):
    """Stands for the head of mmdet, by its name."""


@MODELS.register_module()
class LosslessHead(FCNHead):
    """A head that computes its loss by itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        del self.loss_decode


@MODELS.register_module()
class ReshapingHead(FCNHead):
    """A head whose loss gets pixels in one dimension."""

    def loss_by_feat(self, seg_logits, batch_data_samples):
        label = self._stack_batch_gt(batch_data_samples)[:, 0, ::4, ::4]
        logits = seg_logits[:, :, ::4, ::4].flatten(2)
        return dict(loss_x=self.loss_decode(logits, label.flatten(1)))


@pytest.mark.parametrize(
    ('head', 'match'),
    [
        ('MasksHead', 'got MaskFormerHead, which classifies whole masks'),
        ('LosslessHead', 'got LosslessHead, which has no loss_decode'),
        ('ReshapingHead', 'all pixels of decode to its losses but got .* aux'),
    ],
)
def test_students_without_dense_logits(cfg, teacher, head, match):
    cfg.model.decode_head.type = head
    runs.refuse(cfg, match, runs.distil(teacher))


def test_distillation_that_failed_can_start_again(cfg, teacher):
    """Hooks of the first attempt are gone, so that terms count once."""
    runner, hook = Runner.from_cfg(cfg), DistillationHook(**teacher)
    runner.register_hook(hook)
    hook.before_train(runner)
    runner.train()
    model = runner.model
    assert not model._forward_hooks
    assert not model.decode_head.loss_decode._forward_pre_hooks


@pytest.mark.parametrize(
    ('changes', 'match', 'error'),
    [
        (
            dict(data_root='no/where'),
            f'{LIST} .*no/where.*{CHECK}',
            ValueError,
        ),
        (dict(data_prefix=EMPTY), f'{LIST} .*{CHECK}', ValueError),
        (dict(img_suffix='.jpg'), f'{LIST} .*{CHECK}', ValueError),
        (dict(ann_file='nowhere.txt'), f'{LIST} .*nowhere.txt', ValueError),
        (dict(type='NoDataset'), 'NoDataset', KeyError),
        (dict(ann_file='gone.txt'), rf'{NEXT} (?s:.*)gone\.png', RuntimeError),
        (
            dict(pipeline=[runs.LOAD[0], runs.PACK]),
            r'size=\(32, 32\) at most but got one of \(48, 48\)',
            ValueError,
        ),
        (
            dict(pipeline=runs.LOAD[:1]),
            'inputs and data_samples but got .*img.* end with PackSegInputs',
            ValueError,
        ),
        (
            dict(metainfo=dict(classes=OTHERS)),
            r'3 classes of the labelled images \(sky, road, car\), or none, '
            r'but got 4 \(sky, car, road, sea\)',
            ValueError,
        ),
    ],
)
def test_images_that_cannot_be_learned(cfg, pictures, changes, match, error):
    (pictures / 'empty').mkdir()
    (pictures / 'gone.txt').write_text('gone\n')
    loader = semi.unlabeled(pictures, changes=changes)
    runs.refuse(cfg, match, semi.pseudo(loader), error)


def damage(folder: Path, content: bytes) -> None:
    for path in folder.glob('*.png'):
        path.write_bytes(content)


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('content', [b'', b'no picture', None])
def test_damaged_image(cfg, pictures, workers, content):
    if content is None:  # cut
        content = (pictures / 'u0.png').read_bytes()[:60]
    damage(pictures, content)
    loader = semi.unlabeled(pictures, num_workers=workers)
    hook = semi.pseudo(loader)
    runs.refuse(cfg, rf'{NEXT} (?s:.*)u\d\.png', hook, RuntimeError)


def test_crop_that_is_larger_than_images(cfg, tmp_path):
    """They are padded, and the padding counts neither here nor there."""
    small = semi.write_pictures(tmp_path / 'small', (20, 28))
    crop = dict(type='RandomCrop', crop_size=(32, 32))
    loader = semi.unlabeled(small, runs.LOAD[0], crop, runs.PACK)
    record, steps = semi.learn(cfg, loader, threshold=0.0, views=2)
    assert steps.images[0].shape == (2, 3, 32, 32)
    assert record.logs[0]['pseudo_confident'] == 1
    for student, targets, _ in steps.found:
        label = student.outputs['decode'].label
        weight = targets['decode'].weight
        assert weight.shape == (4, 32, 32)
        assert (weight[:, :20, :28] == 1).all()
        assert weight.sum() == 4 * 20 * 28
        assert torch.equal(label == 255, weight == 0)


def test_images_of_several_sizes_without_a_size_of_the_batch(cfg, tmp_path):
    """They are padded to the largest, as labelled ones are."""
    cfg.model.data_preprocessor.update(size=None, size_divisor=8)
    mixed = semi.write_pictures(tmp_path / 'mixed', (24, 40), 1)
    shutil.move(mixed / 'u0.png', mixed / 'v.png')
    other = semi.write_pictures(tmp_path / 'other', (40, 24), 1)
    shutil.move(other / 'u0.png', mixed / 'u.png')
    loader = semi.unlabeled(mixed, runs.LOAD[0], runs.PACK)
    record, steps = semi.learn(cfg, loader, threshold=0.0)
    assert steps.images[0].shape == (2, 3, 40, 40)
    assert record.logs[0]['pseudo_confident'] == pytest.approx(1)


@TRANSFORMS.register_module()
class Die(BaseTransform):
    """Ends the process while the training waits for it."""

    def transform(self, results: dict) -> dict:
        time.sleep(1)
        os._exit(3)


@pytest.mark.parametrize('apart', [False, True])
def test_worker_that_dies(cfg, pictures, tmp_path, apart):
    """The run says so, and its own process ends too."""
    die = dict(type='Die')
    loader = semi.unlabeled(pictures, runs.LOAD[0], die, num_workers=1)
    hook = semi.pseudo(loader)
    if not apart:
        match = rf'{NEXT} RuntimeError: (?s:.*)worker.*exited unexpectedly'
        runs.refuse(cfg, match, hook, RuntimeError)
        return
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.custom_imports.imports.append('tests.hooks.test_hook_errors')
    cfg.custom_hooks.append(hook)
    path = tmp_path / 'run.py'
    cfg.dump(path)
    # the check would load the image that kills
    words = [sys.executable, 'tools/train.py', path, '--no-check']
    done = run.apart(*words, cwd=run.ROOT)
    assert done.returncode == 1
    assert 'exited unexpectedly with exit code 3' in done.stderr


def test_without_kornia(cfg, pictures, monkeypatch):
    """Only who distorts needs it."""
    for name in ('kornia', 'kornia.augmentation'):
        monkeypatch.setitem(sys.modules, name, None)
    semi.learn(copy.deepcopy(cfg), pictures, **semi.PLAIN)
    cfg.work_dir += '_again'
    runs.refuse(cfg, r"mmseg_jml\[semi\]'", semi.pseudo(pictures), ImportError)


@pytest.mark.parametrize('name', ['RandomAffine', 'Normalise', 'auto'])
def test_distortions_that_move_pixels_or_are_unknown(cfg, pictures, name):
    match = f'intensity augmentations .* got {name!r}'
    hook = semi.pseudo(pictures, distortions=[dict(type=name)])
    runs.refuse(cfg, match, hook)


@pytest.mark.parametrize('distortions', ['unimatch', [], None])
def test_grey_images(cfg, pictures, distortions):
    """Distortions are those of colours; all else takes any channels."""
    cfg.model.backbone.in_channels = 1
    cfg.model.data_preprocessor.update(mean=[128.0], std=[64.0])
    grey = dict(type='LoadImageFromFile', color_type='grayscale')
    cfg.train_dataloader.dataset.pipeline[0] = grey
    del cfg.train_dataloader.dataset.pipeline[5]  # photometric
    if distortions:
        runs.refuse(cfg, 'three channels .* got 1;', semi.pseudo(pictures))
    else:
        record, steps = semi.learn(cfg, pictures, distortions=distortions)
        assert steps.images[0].shape == (2, 1, 32, 32)
        assert len(record.logs) == 3


def test_pseudo_labels_that_failed_can_start_again(cfg, pictures):
    """Hooks of the first attempt are gone, so that terms count once."""
    hook = PseudoLabelHook(semi.unlabeled(pictures), threshold=0.0)
    kept = (pictures / 'u0.png').read_bytes()
    damage(pictures, b'')
    with pytest.raises(RuntimeError, match='next images'):
        runs.train(cfg, hook)
    damage(pictures, kept)
    cfg.work_dir += '_again'
    record = runs.train(cfg, hook)
    assert not record.model._forward_hooks
    assert record.logs[0]['decode.loss_pseudo_jml_ce'] > 0
