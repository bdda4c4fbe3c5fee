"""``tools/dataset_converters/multi_annotator.py`` on folders like QUBIQ's."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from PIL import Image

from tests.tolerances import FLOAT16

from . import run

TOOL = 'dataset_converters/multi_annotator.py'
ANNOTATORS = {'case01': 3, 'case02': 2, 'case03': 3}


def save_nifti(path, pixels):
    """Writes (H, W, ...) as NIfTI has it: first from left to right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.ascontiguousarray(np.swapaxes(pixels, 0, 1))
    nibabel.save(nibabel.Nifti1Image(pixels, np.eye(4)), path)


@pytest.fixture(scope='module')
def qubiq(tmp_path_factory):
    """Returns the folder, and each case's image and masks."""
    root, draw = tmp_path_factory.mktemp('brain'), np.random.default_rng(0)
    content = {}
    for name, number in ANNOTATORS.items():
        image = draw.normal(500, 100, (5, 7)).astype(np.float32)
        masks = draw.integers(0, 2, (number, 5, 7)).astype(np.uint8)
        save_nifti(root / f'{name}/image.nii.gz', image[..., None])
        for i, mask in enumerate(masks, 1):
            save_nifti(root / f'{name}/task01_seg{i:02}.nii.gz', mask)
        save_nifti(root / f'{name}/task02_seg01.nii.gz', masks[0] * 0 + 9)
        content[name] = image, masks
    return root, content


@pytest.fixture(scope='module')
def converted(qubiq, tmp_path_factory):
    out = tmp_path_factory.mktemp('out')
    run.tool(TOOL, qubiq[0], out)
    return out


def test_shares_and_majority(qubiq, converted):
    for name, (image, masks) in qubiq[1].items():
        shares = np.load(converted / f'probabilities/{name}.npy')
        ones = sum(masks.astype(float)) / len(masks)
        np.testing.assert_allclose(shares, [1 - ones, ones], atol=FLOAT16)
        assert_image(converted / f'annotations/{name}.png', ones > 0.5)
        written = np.array(Image.open(converted / f'images/{name}.png'))
        low, high = image.min(), image.max()
        stretched = (image.astype(float) - low) / (high - low) * 255
        assert np.abs(written - stretched).max() <= 0.51
    assert (converted / 'skipped.txt').read_text() == ''


def assert_image(path, expected):
    np.testing.assert_array_equal(np.array(Image.open(path)), expected)


def test_stock_pipeline_loads_them(qubiq, converted):
    init_default_scope('mmseg')
    sources = {'/annotations/': '/probabilities/', '.png': '.npy'}
    dataset = BaseSegDataset(
        data_root=str(converted),
        data_prefix=dict(img_path='images', seg_map_path='annotations'),
        img_suffix='.png',
        metainfo=dict(classes=('background', 'growth')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='mmseg_jml.LoadSoftLabels', sources=sources),
            dict(type='RandomFlip', prob=1.0),
            dict(type='mmseg_jml.PackSoftLabels'),
        ],
    )
    assert len(dataset) == 3
    for item, (_, masks) in zip(dataset, qubiq[1].values()):
        soft = item['data_samples'].soft_label.data
        ones = torch.from_numpy(masks[..., ::-1].astype(np.float32)).mean(0)
        torch.testing.assert_close(soft[1], ones, atol=FLOAT16, rtol=0)


LAYOUT = '--image images/{name}.png --masks masks/*/{name}.png'


def test_masks_of_any_layout(tmp_path):
    """Palette images, four classes, a folder for each annotator."""
    labels = {'x': [[0, 1, 2], [3, 3, 0]], 'y': [[0, 1, 1], [3, 2, 1]]}
    source, out = tmp_path / 'in', tmp_path / 'out'
    for annotator, rows in labels.items():
        (source / 'masks' / annotator).mkdir(parents=True)
        mask = Image.fromarray(np.array(rows, np.uint8))
        mask.putpalette(range(12))
        mask.save(source / f'masks/{annotator}/a[1].png')
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    (source / 'images').mkdir()
    Image.fromarray(pixels).save(source / 'images/a[1].png')
    run.tool(TOOL, source, out, LAYOUT, '--classes 4')
    shares = np.load(out / 'probabilities/a[1].npy')
    assert shares.shape == (4, 2, 3)
    np.testing.assert_array_equal(shares[1], [[0, 1, 0.5], [0, 0, 0.5]])
    np.testing.assert_array_equal(shares[3], [[0, 0, 0], [1, 0.5, 0]])
    assert_image(out / 'annotations/a[1].png', [[0, 1, 1], [3, 2, 0]])
    assert_image(out / 'images/a[1].png', pixels)


def test_binary_masks_and_channels(tmp_path):
    pixels = np.arange(4 * 6 * 4, dtype=np.float32).reshape(6, 4, 4)[:, :, :3]
    pixels = np.concatenate([pixels, pixels[..., :1] * 0], -1)
    pixels = np.pad(pixels, ((0, 0), (0, 2), (0, 0)))
    source, out = tmp_path / 'in', tmp_path / 'out'
    save_nifti(source / '7/image.nii.gz', pixels)
    mask = np.zeros((6, 6), np.uint8)
    mask[2, 3] = 255
    save_nifti(source / '7/task01_seg1.nii.gz', mask)
    for options, told in (
        ('', r'\(6, 6, 4\). --channels takes'),
        ('--channels 2 1 0', r'0 to 1 but got \[0, 255\].*--bin'),
    ):
        with pytest.raises(SystemExit, match=told):
            run.tool(TOOL, source, out, options)
        shutil.rmtree(out)
    run.tool(TOOL, source, out, '--channels 2 1 0 --binary')
    shares = np.load(out / 'probabilities/7.npy')
    np.testing.assert_array_equal(shares[1], mask == 255)
    expected = np.rint(pixels[..., 2::-1] * 255 / pixels.max())
    assert_image(out / 'images/7.png', expected)


def spoil_image(folder):
    path = folder / 'image.nii.gz'
    path.write_bytes(path.read_bytes()[:100])
    return 'image.nii.gz to be a whole NIfTI'


def spoil_mask(folder):
    save_nifti(folder / 'task01_seg02.nii.gz', np.zeros((7, 5), np.uint8))
    return r'seg02.nii.gz to be \(5, 7\) as its image but got \(7, 5\)'


def lose_masks(folder):
    for path in folder.glob('task01*'):
        path.unlink()
    return 'Expected masks of .*image.nii.gz but found none'


@pytest.mark.parametrize('spoil', [spoil_image, spoil_mask, lose_masks])
def test_corrupt_case_is_named(qubiq, tmp_path, capsys, spoil):
    source, out = tmp_path / 'in', tmp_path / 'out'
    shutil.copytree(qubiq[0], source)
    told = spoil(source / 'case02')
    with pytest.raises(SystemExit, match=rf'(?s){told}.*--skip-corrupt'):
        run.tool(TOOL, source, out)
    run.tool(TOOL, source, out, '--skip-corrupt')
    assert (out / 'skipped.txt').read_text() == 'case02\n'
    shown = capsys.readouterr().out
    assert 'skipped: Expected' in shown
    assert '2 images of 3 annotators' in shown
    assert {path.stem for path in out.glob('*/*')} == {'case01', 'case03'}


def test_folder_keeps_its_options(qubiq, converted, tmp_path):
    shutil.copytree(converted, tmp_path / 'out')
    others = '--masks {name}/task02_seg*.nii.gz'
    with pytest.raises(SystemExit, match='begun with.*task01.*got.*task02'):
        run.tool(TOOL, qubiq[0], tmp_path / 'out', others)


def test_nothing_found(tmp_path):
    with pytest.raises(SystemExit, match='Expected images .*image.nii.gz'):
        run.tool(TOOL, tmp_path, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_killed_and_run_again(tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    for part in ('images', 'masks/a', 'masks/b'):
        (tmp_path / 'in' / part).mkdir(parents=True)
        for i in range(6):
            pixels = draw.integers(0, 2, (8, 8), np.uint8)
            Image.fromarray(pixels).save(tmp_path / 'in' / part / f'{i}.png')
    # the options, three files of each image, and the label of the third
    number, options = 1 + 3 * 2 + 2, LAYOUT.split()
    run.killed(number, TOOL, 'in', 'out', *options, cwd=tmp_path)
    assert len(list(tmp_path.glob('out/images/[0-9]*'))) == 3
    assert len(list(tmp_path.glob('out/probabilities/[0-9]*'))) == 2
    assert len(list(tmp_path.glob('out/annotations/.unfinished-*'))) == 1
    monkeypatch.chdir(tmp_path)
    for out in ('out', 'whole'):
        run.tool(TOOL, 'in', out, LAYOUT)
    for path in Path('whole').rglob('*.*'):
        resumed = Path('out', *path.parts[1:])
        assert resumed.read_bytes() == path.read_bytes()
    for out in ('out', 'whole'):
        assert len(list(Path(out).rglob('*.*'))) == 3 * 6 + 2
