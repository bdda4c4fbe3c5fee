"""Let both MMSegmentation stacks run on a current torch.

Each module repairs one thing, and only if the installed stack needs it:

- `operators` lets mmseg import beside an mmcv without compiled operators.
- `checkpoints` lets weights-only loading read mmengine's training checkpoints,
  below torch 2.6 with the help of `training_unpickler`.
"""

from .checkpoints import allow_training_checkpoints
from .operators import stand_in_for_operators

__all__ = ['allow_training_checkpoints', 'apply']


def apply() -> None:
    """Apply every repair that this installation needs; safe to repeat.

    Examples:
        >>> apply()
        >>> import mmseg.models  # beside an mmcv without compiled operators
    """
    stand_in_for_operators()
    allow_training_checkpoints()
