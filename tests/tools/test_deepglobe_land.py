"""``tools/dataset_converters/deepglobe_land.py`` on 803 tiny images."""

import io
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
    run.tool(TOOL, killed)
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
        train = [name for name in files if name not in val]
        assert names(converted / f'splits/fold{k}_val.txt') == val
        assert names(converted / f'splits/fold{k}_train.txt') == train


def test_folds_of_a_seed(converted, tmp_path):
    def folds(seed, folder):
        root = copy(converted, tmp_path / folder)
        run.tool(TOOL, root, f'--seed {seed}')
        return [names(root / f'splits/fold{k}_val.txt') for k in range(5)]

    first = folds(1, 'a')
    assert [len(fold) for fold in first] == [161, 161, 161, 160, 160]
    everything = (path.stem for path in labels_in(converted))
    assert sorted(sum(first, [])) == sorted(everything)
    assert folds(1, 'b') == first
    assert folds(2, 'c') != first


def cut(content):
    return content[: len(content) // 2]


def recolour(content):
    mask = Image.open(io.BytesIO(content))
    mask.putpixel((2, 1), (200, 9, 0))
    return as_png(mask)


def as_png(mask):
    file = io.BytesIO()
    mask.save(file, 'PNG')
    return file.getvalue()


RED = r'\(200, 9, 0\) in row 1, column 2, and such red in 1 pixels'
SIZE = r'RGB of \(8, 6\) pixels.*got RGB of \(6, 8\)'


@pytest.mark.parametrize(
    ('file', 'spoil', 'told'),
    [
        ('sat.jpg', cut, 'whole image'),
        ('mask.png', recolour, RED),
        ('mask.png', lambda _: as_png(Image.new('RGB', (6, 8))), SIZE),
        ('mask.png', lambda _: as_png(Image.new('L', (8, 6))), 'got L of'),
    ],
    ids=['image', 'colour', 'size', 'mode'],
)
def test_corrupt_file_is_named(converted, tmp_path, capsys, file, spoil, told):
    root = copy(converted, tmp_path)
    name = names(root / 'splits/fold1_val.txt')[7]
    (root / f'annotations/{name}.png').unlink()
    path = root / f'land-train/{name}_{file}'
    content = spoil(path.read_bytes())
    path.unlink()  # its content is shared with other tests
    path.write_bytes(content)
    told = rf'(?s)land-train/{name}_\w+\.\w+ .*{told}.*--skip-corrupt'
    with pytest.raises(SystemExit, match=told):
        run.tool(TOOL, root)
    assert not (root / f'annotations/{name}.png').exists()

    run.tool(TOOL, root, '--skip-corrupt')
    shown = capsys.readouterr().out
    assert f'skipped: Expected {root}/land-train/{name}_' in shown
    assert '802 labels' in shown
    assert names(root / 'splits/skipped.txt') == [name]
    assert len(names(root / 'splits/fold1_val.txt')) == 159
    for listed in root.glob('splits/fold*'):
        assert name not in names(listed)

    # once the file is replaced, nothing tells that it was corrupt
    shutil.rmtree(root / 'land-train')
    copy(converted / 'land-train', root / 'land-train')
    run.tool(TOOL, root)
    for part in ('annotations', 'splits'):
        for whole in (converted / part).glob('[!.]*'):
            again = root / part / whole.name
            assert again.read_bytes() == whole.read_bytes()


def test_wrong_number_of_images(raw, tmp_path):
    root = copy(raw[0], tmp_path)
    image = min(root.glob('land-train/*_sat.jpg'))
    mask = image.with_name(image.name.replace('sat.jpg', 'mask.png'))
    image.unlink()
    with pytest.raises(SystemExit, match=f'no partner for {mask.name}'):
        run.tool(TOOL, root)
    mask.unlink()
    for folder, number in ((root, 802), (tmp_path / 'elsewhere', 0)):
        told = f'Expected 803.*but got {number}'
        with pytest.raises(SystemExit, match=told):
            run.tool(TOOL, folder)
    assert not (root / 'annotations').exists()
