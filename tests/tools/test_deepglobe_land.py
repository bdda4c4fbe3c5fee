"""``tools/dataset_converters/deepglobe_land.py`` on 803 tiny images."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from . import run

TOOL = 'dataset_converters/deepglobe_land.py'
COLOURS = {
    (0, 255, 255): 0,
    (255, 255, 0): 1,
    (255, 0, 255): 2,
    (0, 255, 0): 3,
    (0, 0, 255): 4,
    (255, 255, 255): 5,
    (0, 0, 0): 255,
}


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
    """The download: colours blurred by up to 127; and the right labels."""
    root, draw = tmp_path_factory.mktemp('raw'), np.random.default_rng(0)
    (root / 'land-train').mkdir()
    colours, classes = np.array([*COLOURS]), np.array([*COLOURS.values()])
    labels = {}
    for name in map(str, draw.choice(10**6, 803, replace=False)):
        chosen = draw.integers(0, 7, (6, 8))
        blur = draw.choice([0, 3, 127], (6, 8, 3))
        mask = np.abs(colours[chosen] - blur).astype(np.uint8)
        folder = root / 'land-train'
        Image.fromarray(mask).save(folder / f'{name}_mask.png')
        Image.new('RGB', (8, 6)).save(folder / f'{name}_sat.jpg')
        labels[name] = classes[chosen]
    return root, labels


def labels_in(root):
    """Returns the labels, without what was left unfinished."""
    return [*root.glob('annotations/[0-9]*.png')]


def copy(root, to):
    """A copy that shares the files with the original, so none is changed."""
    shutil.copytree(root, to, copy_function=os.link, dirs_exist_ok=True)
    return to


@pytest.fixture(scope='module')
def killed(raw, tmp_path_factory):
    """What is left when the converter is killed in label 101."""
    root = copy(raw[0], tmp_path_factory.mktemp('killed'))
    run.killed(101, TOOL, root, cwd=root)
    assert len(labels_in(root)) == 100
    assert len(list(root.glob('annotations/.unfinished-*'))) == 1
    assert not (root / 'splits').exists()
    return root


@pytest.fixture(scope='module')
def converted(killed):
    """What a second run makes of it."""
    before = {path: path.stat().st_mtime_ns for path in labels_in(killed)}
    with pytest.MonkeyPatch.context() as patch:
        run.here(patch, TOOL, killed)
    assert all(path.stat().st_mtime_ns == t for path, t in before.items())
    return killed


def names(path):
    return path.read_text().split()


def test_killed_and_run_again_gives_every_label(raw, converted):
    _, labels = raw
    files = {path.stem: path for path in labels_in(converted)}
    assert len(list(converted.glob('annotations/.*'))) == 0
    assert files.keys() == labels.keys()
    for name, label in labels.items():
        np.testing.assert_array_equal(Image.open(files[name]), label)
    # in a viewer, a label has the colours of the challenge
    urban = Image.new('P', (1, 1), 0)
    urban.putpalette(Image.open(files[name]).getpalette())
    assert urban.convert('RGB').getpixel((0, 0)) == (0, 255, 255)


def test_folds_of_the_paper(converted):
    files = sorted(path.name for path in converted.glob('land-train/*.jpg'))
    files = [file[: -len('_sat.jpg')] for file in files]
    for k in range(5):
        val = files[160 * k : 160 * (k + 1)]
        assert names(converted / f'splits/fold{k}_val.txt') == val
        assert names(converted / f'splits/fold{k}_train.txt') == [
            name for name in files if name not in val
        ]


def test_folds_of_a_seed(converted, tmp_path, monkeypatch):
    def folds(seed, folder):
        root = copy(converted, tmp_path / folder)
        run.here(monkeypatch, TOOL, root, '--seed', seed)
        return [names(root / f'splits/fold{k}_val.txt') for k in range(5)]

    first = folds(1, 'a')
    assert [len(fold) for fold in first] == [161, 161, 161, 160, 160]
    everything = names(converted / 'splits/fold0_train.txt')
    everything += names(converted / 'splits/fold0_val.txt')
    assert sorted(sum(first, [])) == sorted(everything)
    assert folds(1, 'b') == first
    assert folds(2, 'c') != first


def spoil_image(folder, name):
    """Cuts the file off."""
    path = folder / f'{name}_sat.jpg'
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    return 'whole image'


def spoil_colour(folder, name):
    path = folder / f'{name}_mask.png'
    mask = Image.open(path)
    path.unlink()
    mask.putpixel((2, 1), (200, 9, 0))
    mask.save(path)
    return r'\(200, 9, 0\) in row 1, column 2, and such red in 1 pixels'


def spoil_size(folder, name):
    path = folder / f'{name}_mask.png'
    path.unlink()
    Image.new('RGB', (6, 8)).save(path)
    return r'RGB of \(8, 6\) pixels.*got RGB of \(6, 8\)'


def spoil_mode(folder, name):
    path = folder / f'{name}_mask.png'
    path.unlink()
    Image.new('L', (8, 6)).save(path)
    return 'got L of'


@pytest.mark.parametrize(
    'spoil', [spoil_image, spoil_colour, spoil_size, spoil_mode]
)
def test_corrupt_file_is_named(
    converted, tmp_path, monkeypatch, capsys, spoil
):
    root = copy(converted, tmp_path)
    name = names(root / 'splits/fold1_val.txt')[7]
    (root / f'annotations/{name}.png').unlink()
    told = spoil(root / 'land-train', name)
    told = rf'land-train/{name}_\w+\.\w+ .*{told}'
    with pytest.raises(SystemExit, match=rf'(?s){told}.*--skip-corrupt'):
        run.here(monkeypatch, TOOL, root)
    assert not (root / f'annotations/{name}.png').exists()

    run.here(monkeypatch, TOOL, root, '--skip-corrupt')
    shown = capsys.readouterr().out
    assert f'skipped: Expected {root}/land-train/{name}_' in shown
    assert '802 labels' in shown
    assert names(root / 'splits/skipped.txt') == [name]
    assert len(names(root / 'splits/fold1_val.txt')) == 159
    for path in root.glob('splits/fold*'):
        assert name not in names(path)

    # once the file is replaced, nothing tells that it was corrupt
    shutil.rmtree(root / 'land-train')
    copy(converted / 'land-train', root / 'land-train')
    run.here(monkeypatch, TOOL, root)
    for part in ('annotations', 'splits'):
        for path in (converted / part).glob('[!.]*'):
            assert (root / part / path.name).read_bytes() == path.read_bytes()


def test_wrong_number_of_images(raw, tmp_path, monkeypatch):
    root = copy(raw[0], tmp_path)
    image = min(root.glob('land-train/*_sat.jpg'))
    name = image.name[: -len('_sat.jpg')]
    image.unlink()
    with pytest.raises(SystemExit, match=f'no partner for {name}_mask.png'):
        run.here(monkeypatch, TOOL, root)
    (root / f'land-train/{name}_mask.png').unlink()
    with pytest.raises(SystemExit, match='Expected 803.*but got 802'):
        run.here(monkeypatch, TOOL, root)
    with pytest.raises(SystemExit, match='Expected 803.*but got 0'):
        run.here(monkeypatch, TOOL, tmp_path / 'elsewhere')
    assert not (root / 'annotations').exists()
