"""What tools share that convert and divide data sets; without mmseg."""
