"""Land cover in satellite images: the DeepGlobe challenge of 2018."""

from __future__ import annotations

from typing import Any

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS

__all__ = ['DeepGlobeLandDataset']

_COLOURS = dict(
    urban_land=[0, 255, 255],
    agriculture_land=[255, 255, 0],
    rangeland=[255, 0, 255],
    forest_land=[0, 255, 0],
    water=[0, 0, 255],
    barren_land=[255, 255, 255],
)


@DATASETS.register_module()
class DeepGlobeLandDataset(BaseSegDataset):
    """DeepGlobe Land Cover Classification, 803 labelled images of 2448x2448.

    The challenge (`Demir et al., CVPR Workshops 2018
    <https://arxiv.org/abs/1805.06561>`_) publishes labels of its training
    images only; they are divided into five folds. Its seventh label, unknown,
    is ignored (255). ``tools/dataset_converters/deepglobe_land.py`` writes
    ``annotations`` and ``splits`` beside ``land-train``, which stays as it
    was downloaded.

    .. code-block:: none

        data/deepglobe_land
        ├── land-train          100694_sat.jpg, 100694_mask.png ...
        ├── annotations         100694.png ...
        └── splits              fold0_train.txt, fold0_val.txt ...

    The lines of a split are names such as 100694.

    Args:
        img_suffix (str, optional): Suffix of the images. Defaults to
            '_sat.jpg'.
        seg_map_suffix (str, optional): Suffix of the labels. Defaults to
            '.png'.
        **kwargs: Arguments of :class:`mmseg.datasets.BaseSegDataset`.

    Examples:
        >>> entry = dict(
        ...     type='mmseg_jml.DeepGlobeLandDataset',
        ...     data_root='data/deepglobe_land',
        ...     ann_file='splits/fold0_train.txt',
        ...     data_prefix=dict(
        ...         img_path='land-train', seg_map_path='annotations'
        ...     ),
        ...     pipeline=[],
        ... )
        >>> dataset = DATASETS.build(dict(entry, lazy_init=True))
        >>> dataset.metainfo['classes'][:2]
        ('urban_land', 'agriculture_land')
    """

    METAINFO = dict(classes=tuple(_COLOURS), palette=list(_COLOURS.values()))

    def __init__(
        self,
        img_suffix: str = '_sat.jpg',
        seg_map_suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        super().__init__(
            img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs
        )
