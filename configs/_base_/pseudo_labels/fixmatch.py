# The student labels a weak view for itself. FixMatch (arXiv 2001.07685), with
# CutMix as UniMatch's baseline has it.
_base_ = './mean_teacher.py'
pseudo_label = dict(teacher='self')
