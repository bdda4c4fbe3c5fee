"""Classes row by row, against PyTorch's interpolation of everything."""

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from benchmarks.measure import Tracked
from mmseg_jml.functional import Canvas, View, Window, predicted_classes
from mmseg_jml.functional.resized_rows import resized_rows
from tests.devices import AsOnGPU, move

VIEWS = {
    'nothing': ((130, 190), None),
    'enlarged': ((130, 190), View((201, 333))),
    'shrunk': ((130, 190), View((47, 29))),
    'shrunk one way': ((130, 190), View((31, 800))),
    'same size': ((130, 190), View((130, 190))),
    'padded': ((130, 190), View((135, 99), (3, 5, 0, 9))),
    'flipped': ((130, 190), View((200, 80), (3, 5, 1, 9), 'horizontal')),
    'upside down': ((130, 190), View((33, 290), (0, 1, 7, 9), 'vertical')),
    'logits of the input size': ((33, 47), View((66, 99), (0, 1, 2, 0))),
    'large logits': ((16, 20), View((40, 50))),
}


def resized(image, size, align_corners):
    """In float32 or more, rounded at the end, as a GPU does.

    On a CPU, half precision rounds weights in some memory layouts.
    """
    exact = image.to(torch.promote_types(image.dtype, torch.float32))
    options = dict(mode='bilinear', align_corners=align_corners)
    return F.interpolate(exact[None], size, **options)[0].to(image.dtype)


def view_of(image, view, align_corners):
    """What mmseg does with the resized logits."""
    if view is not None:
        left, right, top, bottom = view.padding
        height, width = image.shape[1:]
        image = image[:, top : height - bottom, left : width - right]
        if view.flip:
            image = image.flip(2 if view.flip == 'horizontal' else 1)
        image = resized(image, view.size, align_corners)
    return image.argmax(0)


def whole(logits, size, align_corners=False):
    window = Window(logits, slice(0, size[0]), slice(0, size[1]))
    return Canvas([window], size, align_corners)


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('name', VIEWS)
@pytest.mark.parametrize('dtype', ['float64', 'float32', 'bfloat16'])
def test_same_classes_as_two_resizes(dtype, name, align_corners, device):
    size, view = VIEWS[name]
    logits = torch.randn(37, 33, 47).to(device, getattr(torch, dtype))
    large = resized(logits, size, align_corners)
    expected = view_of(large, view, align_corners)
    found = predicted_classes(whole(logits, size, align_corners), view)
    assert found.dtype == torch.int64
    assert found.shape == expected.shape
    # a tie, of which bfloat16 leaves more, loses a side by one rounding
    wrong = (found != expected).float().mean()
    assert wrong <= (1e-4 if dtype == 'bfloat16' else 1e-5)


@pytest.mark.parametrize('dtype', [None, torch.float32])
@pytest.mark.parametrize('count', [1, 40])
def test_overlapping_windows_are_averaged(count, dtype, device):
    size, view = (50, 70), View((90, 61), (2, 0, 1, 3), 'vertical')
    windows = [
        Window(
            torch.randn(count, 8, 10).to(device),
            slice(y, y + 30),
            slice(x, x + 40),
        )
        for y, x in itertools.product((0, 13, 20), (0, 30))
    ]
    total = torch.zeros(count, *size, device=device)
    number = torch.zeros(size, device=device)
    for logits, rows, columns in windows:
        total[:, rows, columns] += resized(logits, (30, 40), False)
        number[rows, columns] += 1
    assert number.unique().tolist() == [1, 2, 3, 4, 6]
    expected = view_of(total / number, view, False)
    found = predicted_classes(Canvas(windows, size, dtype=dtype), view)
    assert torch.equal(found, expected)


def test_the_first_of_equal_classes(device):
    logits = torch.zeros(40, 3, 3, device=device)
    logits[[20, 30], 1] = 1
    found = predicted_classes(whole(logits, (3, 3)), View((3, 3)))
    assert found.tolist() == [[0] * 3, [20] * 3, [0] * 3]


@pytest.mark.parametrize('kind', [torch.Tensor, AsOnGPU])
@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
    'sizes', [(33, 130), (64, 513), (500, 2047), (300, 7), (1, 5), (6, 1)]
)
def test_rows_are_those_of_interpolate(sizes, align_corners, kind, device):
    """To the last operation, at sizes where positions round.

    Builds of older torch (seen with 2.4) round them once more.
    """
    height, new_height = sizes
    image = torch.randn(2, height, 5).to(device).as_subclass(kind)
    rows = torch.randperm(new_height)[:99]
    found = resized_rows(
        lambda needed: image.index_select(1, needed.to(device)),
        *((height, 5), (new_height, 7)),
        *(rows, image.dtype, align_corners),
    )
    expected = resized(image, (new_height, 7), align_corners)
    expected = expected[:, move(rows, device)]
    # to a few units of float32
    rounding = 5e-7 if torch.__version__ >= '2.5' else 1e-5
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding)


@pytest.mark.parametrize('flip', ['diagonal', 'None', ''])
def test_unknown_flip(flip):
    canvas = whole(torch.zeros(2, 3, 3), (3, 3))
    with pytest.raises(ValueError, match='Expected flip to be None'):
        predicted_classes(canvas, View((3, 3), flip=flip))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_memory(dtype):
    """Of 150 classes: a fraction of what exists at full size otherwise."""
    logits, size = torch.randn(150, 64, 128).to(dtype), (256, 512)
    view = View((512, 1024))
    with Tracked() as theirs:
        image = F.interpolate(logits[None], size, mode='bilinear')
        image = F.interpolate(image, view.size, mode='bilinear')
        expected = image[0].argmax(0)
    with Tracked() as ours:
        found = predicted_classes(whole(logits, size), view)
    # torch 2.1 rounds, for bfloat16, the weights of interpolation
    wrong = (found != expected).float().mean()
    assert wrong <= (0.02 if dtype == torch.bfloat16 else 1e-5)
    assert ours.peak <= 0.2 * theirs.peak
