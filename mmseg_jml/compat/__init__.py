"""Let both MMSegmentation stacks run on a current torch.

Each room mends one thing, and only where the installed stack breaks on it:

- `operators`: mmseg imports beside an mmcv without compiled operators.
- `checkpoints`: mmengine's training checkpoints load by weights-only loading;
  `training_unpickler` serves there below torch 2.6.
"""

from .checkpoints import allow_training_checkpoints
from .operators import stand_in_for_operators

__all__ = ['apply']


def apply() -> None:
    """Apply every repair that this installation needs; safe to repeat."""
    stand_in_for_operators()
    allow_training_checkpoints()
