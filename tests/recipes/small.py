"""Recipes at an eighth of their size, on a processor, without downloads."""

from pathlib import Path

from mmengine.config import Config

import mmseg_jml  # noqa: F401 (lets mmseg import)

from . import catalog

SIZES = ('crop_size', 'scale', 'size', 'stride', 'img_size')


def read(path: Path, data: Path) -> Config:
    """Reads a recipe and makes it small, with a folder in place of data."""
    cfg = Config(shrink(catalog.config(path).to_dict(), data))
    cfg.model.pretrained = None
    cfg.model.backbone.init_cfg = None
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.num_workers = 0
        loader.persistent_workers = False
    return cfg


def shorten(cfg: Config, iters: int) -> None:
    """Ends a run after some iterations with validation and checkpoint."""
    cfg.train_cfg.update(max_iters=iters, val_interval=iters)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.interval = iters


def shrink(node, data: Path):
    """Returns a config with an eighth of its sizes, and ``data`` moved."""
    if isinstance(node, dict):
        return {key: entry(key, node[key], data) for key in node}
    if isinstance(node, (list, tuple)):
        return type(node)(shrink(child, data) for child in node)
    # batch norm across processes wants GPUs
    return 'BN' if node == 'SyncBN' else node


def shorter(side: int) -> int:
    """Returns an eighth; multiples of 14, DINOv2's patch, stay such."""
    return side // 8 if side % 14 else 14 * round(side / 112)


def entry(key: str, value, data: Path):
    """Returns what stands under a key of a small config."""
    if key in SIZES and isinstance(value, (list, tuple)):
        return tuple(map(shorter, value))
    if key == 'min_kept':  # pixels
        return value // 64
    if key == 'data_root':
        return str(data / Path(value).relative_to('data'))
    return shrink(value, data)
