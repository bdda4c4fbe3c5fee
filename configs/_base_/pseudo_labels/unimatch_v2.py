# Mean teacher with two strong views, of which each lacks the channels of the
# backbone that the other one keeps: UniMatch V2 (arXiv 2410.10777). Its values
# are those of ./mean_teacher.py; in the paper the backbone is DINOv2.
_base_ = './mean_teacher.py'
pseudo_label = dict(views=2, feature_dropout=0.5)
