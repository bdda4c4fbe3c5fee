"""The functions of `mmseg_jml.functional` on the device of a test.

They are imported from here by their names; see `tests.devices.on_device`.
"""

from mmseg_jml import functional
from tests import devices


def __getattr__(name):
    if name.startswith('_'):
        raise AttributeError(name)
    return devices.on_device(getattr(functional, name))
