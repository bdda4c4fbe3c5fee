"""A dataset whose errors say which image is at fault."""

from __future__ import annotations

from typing import Any

from mmengine.dataset import BaseDataset
from torch.utils.data import Dataset

__all__ = ['NamedImages']


class NamedImages(Dataset):
    """Name the image in any error that loading it raises.

    Not every library does so, and none of mmseg's datasets does.

    Args:
        dataset (BaseDataset): A dataset of mmseg.
    """

    def __init__(self, dataset: BaseDataset) -> None:
        self.dataset = dataset
        self.metainfo = getattr(dataset, 'metainfo', {})

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:  # of any transform
            path = self.dataset.get_data_info(index).get('img_path')
            raise RuntimeError(
                f'{type(error).__name__} for {path}: {error}'
            ) from error
