"""A stand-in for mmcv's compiled operators where mmcv comes without them."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, NoReturn

__all__ = ['stand_in_for_operators']

EXTENSION = 'mmcv._ext'


class MissingOperators(ModuleType):
    """A module that has every operator by name and none that runs."""

    def __init__(self) -> None:
        super().__init__(EXTENSION, self.__doc__)
        # A spec without a loader keeps mmengine's `mmcv_full_available`
        # truthful: it looks for the loader of this module.
        self.__spec__ = ModuleSpec(EXTENSION, loader=None)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> NoReturn:
            raise RuntimeError(
                f"Expected mmcv's compiled operator '{name}', but this mmcv "
                'has no compiled operators. Compile them, beside torch and '
                "'setuptools<82': pip uninstall mmcv-lite && pip install "
                '--no-build-isolation mmcv==2.1.0. Or use a model that does '
                'without this operator.'
            )

        return missing


def stand_in_for_operators() -> bool:
    """Makes `import mmseg.models` work without mmcv's compiled operators.

    mmsegmentation 1.2.2 imports `mmcv.ops` unguarded, and `mmcv.ops` needs the
    compiled module `mmcv._ext`, which mmcv-lite lacks, as does an mmcv that
    was built while torch was out of sight. The names of the distributions
    therefore tell nothing; the import itself does. Only when it fails for want
    of exactly that module does the stand-in take its place. A stack that
    guards its imports, or has the operators, is left alone.

    Operators written in plain torch, such as `mmcv.ops.point_sample`, work on.
    A compiled one raises a RuntimeError that names it when it is called.

    Returns:
        bool: Whether the stand-in is in place.
    """
    if isinstance(sys.modules.get(EXTENSION), MissingOperators):
        return True
    try:
        importlib.import_module('mmseg.utils')
    except ModuleNotFoundError as error:
        if error.name != EXTENSION:
            raise
        sys.modules[EXTENSION] = MissingOperators()
        return True
    return False
