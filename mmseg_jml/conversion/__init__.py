"""Convert and divide data sets; shared by tools, independent of mmseg."""
