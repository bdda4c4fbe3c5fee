"""What the hooks that teach share: teachers, targets, schedules and losses."""
