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
        # mmengine's `mmcv_full_available` looks for the loader of this
        # module; without one it rightly says that mmcv is not complete.
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


def stand_in_for_operators() -> None:
    """Let `import mmseg.models` work without mmcv's compiled operators.

    mmsegmentation 1.2.2 imports `mmcv.ops` unconditionally, which needs the
    compiled module `mmcv._ext`. mmcv-lite lacks it, as does an mmcv that was
    built without torch, so that the name of the installed package does not
    tell. This function therefore tries the import, and provides the stand-in
    only if it fails because of that very module.

    Operators written in plain torch, such as `mmcv.ops.point_sample`, go on
    working. A compiled one raises a RuntimeError with its name when called.
    """
    try:
        importlib.import_module('mmseg.utils')
    except ModuleNotFoundError as error:
        if error.name != EXTENSION:
            raise
        sys.modules[EXTENSION] = MissingOperators()
