"""Convert and divide data sets; shared by tools, independent of mmseg.

There is no index: tools import the modules `files`, `progress` and `splits`.
"""
