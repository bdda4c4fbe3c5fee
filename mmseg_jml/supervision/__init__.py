"""What the hooks that teach share: teachers, targets, schedules and losses."""

# First of all, since it imports the hooks, which import the modules of this
# room: whoever imports one of these first would meet it half imported.
from .. import registry  # noqa: F401
