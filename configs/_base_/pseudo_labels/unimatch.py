# FixMatch with two strong views: UniMatch (arXiv 2208.09910) without its
# stream of weak views with perturbed features.
_base_ = './mean_teacher.py'
pseudo_label = dict(teacher='self', views=2)
