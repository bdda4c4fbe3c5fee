"""Which images a split takes."""

from fractions import Fraction

import pytest

from mmseg_jml.conversion.splits import count_of, rank_names, resolve_lines

CITY = ['aachen/aachen_000000_000019', 'bonn/bonn_000001_000019']
VOC = ['2007_000032', '2008_000027']


def test_order_is_that_of_the_hashes():
    """Orders of `printf SEED:NAME | sha256sum`."""
    assert ''.join(rank_names('abcde', 0)) == 'dacbe'
    assert ''.join(rank_names('abcde', 1)) == 'daebc'


def test_order_depends_on_neither_other_names_nor_their_order():
    names = [str(i) for i in range(200)]
    ranked = rank_names(names, 3)
    assert sorted(ranked) == sorted(names)
    assert rank_names(reversed(names), 3) == ranked
    even = [name for name in ranked if int(name) % 2 == 0]
    assert rank_names(names[::2], 3) == even


@pytest.mark.parametrize(
    ('total', 'shares'),
    [
        (10582, {16: 662, 8: 1323, 4: 2646}),  # the blended VOC
        (2975, {30: 100, 16: 186, 8: 372, 4: 744, 2: 1488}),  # Cityscapes
    ],
)
def test_sizes_of_published_splits(total, shares):
    assert {n: count_of(Fraction(1, n), total) for n in shares} == shares


PAIRS = [
    'JPEGImages/2007_000032.jpg SegmentationClass/2007_000032.png',
    '/JPEGImages/2008_000027.jpg /SegmentationClass/2008_000027.png',
]


@pytest.mark.parametrize(
    'lines', [VOC, ['', '  2007_000032 ', '2008_000027.jpg', ''], PAIRS]
)
def test_published_lists_of_voc(lines):
    assert resolve_lines(lines, VOC, '.jpg') == VOC


@pytest.mark.parametrize(
    'line',
    [
        'bonn/{}',
        '{}',
        'bonn/{}_leftImg8bit',
        '{}_leftImg8bit.png',
        'leftImg8bit/train/bonn/{}_leftImg8bit.png '
        'gtFine/train/bonn/{}_gtFine_labelTrainIds.png',
    ],
)
def test_published_lists_of_cityscapes(line):
    line = line.replace('{}', 'bonn_000001_000019')
    assert resolve_lines([line], CITY, '_leftImg8bit.png') == [CITY[1]]


def test_names_with_blanks():
    names = ['scan 1', 'scan 2']
    assert resolve_lines(['scan 2'], names, '.png') == ['scan 2']
    assert resolve_lines(['a/scan 2.png'], names, '.png') == ['scan 2']


def test_lines_that_mean_no_image():
    lines = ['2007_000032', '2007_000033', 'b/bonn_000001_000019']
    with pytest.raises(ValueError, match=r"has 2007.*2 that do not.*'2007_00"):
        resolve_lines(lines, [*VOC, *CITY], '.jpg')


def test_lines_that_mean_several():
    with pytest.raises(ValueError, match="1 that do not: 'x/1'"):
        resolve_lines(['x/1', 'a/1'], ['a/1', 'b/1', 'x/2'], '.jpg')
    with pytest.raises(ValueError, match="1 that do not: '1'"):
        resolve_lines(['1'], ['a/1', 'b/1'], '.jpg')
