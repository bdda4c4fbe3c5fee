# FixMatch with two strong views. UniMatch (arXiv 2208.09910) without the
# stream of perturbed features, which would need another model class.
_base_ = './mean_teacher.py'
pseudo_label = dict(teacher='self', views=2)
