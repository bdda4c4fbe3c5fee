# UniMatch V2 (arXiv 2410.10777): an average labels two strong views.
_base_ = './mean_teacher.py'
pseudo_label = dict(views=2)
