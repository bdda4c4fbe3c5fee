"""Losses and predictions of mmseg's heads without full-size logits.

It is internal and has no index: hooks import its modules.
"""

# Filling the registries imports the hooks, and these import the modules of
# this package. It comes first, so that none of them is half imported then.
from .. import registry  # noqa: F401
