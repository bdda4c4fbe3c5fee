# `make` lists the targets. All of them start from a fresh clone: they need
# Python >= 3.10, make and a package index. Python 3.9 has one stack alone:
#   make test PYTHON=python3.9 STACKS=openmmlab TORCH=torch==2.8.0 \
#       TORCHVISION=torchvision==0.23.0
PYTHON ?= python3
STACKS ?= openmmlab onedl
DEMO_STACK ?= onedl
TORCH ?= torch==2.13.0
# mmpretrain imports torchvision; 0.28 is the partner of torch 2.13.
TORCHVISION ?= torchvision==0.28.0
PYTEST_ARGS ?= -n 2

ready = .venv/$(1)/ready
tools_of = .venv/$(firstword $(STACKS))/bin

.PHONY: help setup demo demo-kd demo-semi test test-gpu zoo recipes lint format docs check clean
.SECONDARY:

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(foreach stack,$(STACKS),$(call ready,$(stack))) .venv/torchvision  ## make an environment for each of the two stacks

# torch comes first, so that nothing else brings one of its own choice. Where
# OpenCV lacks the graphics libraries of a desktop, it is replaced by the
# build that does without them.
$(call ready,%): pyproject.toml
	$(PYTHON) -m venv .venv/$*
	.venv/$*/bin/python -m pip install '$(TORCH)'
	.venv/$*/bin/python -m pip install -e '.[$*,test,lint,docs]'
	.venv/$*/bin/python -c 'import cv2' || { \
	    .venv/$*/bin/python -m pip uninstall -y opencv-python && \
	    .venv/$*/bin/python -m pip install opencv-python-headless; }
	touch $@

# Beside the environments, not in them: its operators load only with a torch
# that was built alike, and the tests do without them (tests/conftest.py).
.venv/torchvision: | $(call ready,$(firstword $(STACKS)))
	$(tools_of)/python -m pip install --no-deps --target $@ '$(TORCHVISION)'

demo_of = .venv/$(DEMO_STACK)/bin/python -m demo $(1) \
    $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ITERS),--iters $(ITERS))

demo: $(call ready,$(DEMO_STACK))  ## train on embedded data with and without JML (SEEDS= ITERS=)
	$(call demo_of,jml)

demo-kd: $(call ready,$(DEMO_STACK))  ## distil a teacher into a small student on the same data (SEEDS= ITERS=)
	$(call demo_of,kd)

demo-semi: $(call ready,$(DEMO_STACK))  ## learn from few labels and many unlabelled images (SEEDS= ITERS=)
	$(call demo_of,semi)

test: $(STACKS:%=test-%)  ## run the tests on both stacks (PYTEST_ARGS=)

test-%: $(call ready,%) .venv/torchvision
	@echo '== tests on the $* stack'
	OMP_NUM_THREADS=1 .venv/$*/bin/python -m pytest $(PYTEST_ARGS)

# The same tests on the device that tests/conftest.py gives them.
test-gpu: $(call ready,$(firstword $(STACKS))) .venv/torchvision  ## run the tests that need a GPU, on one stack (PYTEST_ARGS=)
	@$(tools_of)/python -c 'import torch; torch.cuda.is_available() or exit( \
	    f"Expected a GPU for make test-gpu but torch {torch.__version__} " \
	    "finds none. make test runs all that needs none.")'
	OMP_NUM_THREADS=1 $(tools_of)/python -m pytest $(PYTEST_ARGS) -m gpu

zoo: $(STACKS:%=zoo-%)  ## train a step of every kind of mmseg's configs, and write docs/zoo.md (half an hour)
	$(tools_of)/python -m tests.zoo.report $(STACKS:%=work_dirs/zoo/%.xml) > docs/zoo.md

zoo-%: $(call ready,%) .venv/torchvision
	ZOO=all OMP_NUM_THREADS=1 .venv/$*/bin/python -m pytest $(PYTEST_ARGS) \
	    tests/zoo -o junit_family=xunit1 --junitxml=work_dirs/zoo/$*.xml

recipes: $(STACKS:%=recipes-%)  ## take a training step of every config in configs (a quarter of an hour)

recipes-%: $(call ready,%) .venv/torchvision
	RECIPES=all OMP_NUM_THREADS=1 .venv/$*/bin/python -m pytest \
	    $(PYTEST_ARGS) tests/recipes

lint: $(call ready,$(firstword $(STACKS)))  ## check style, formatting and types
	$(tools_of)/ruff check .
	$(tools_of)/ruff format --check .
	$(tools_of)/mypy

format: $(call ready,$(firstword $(STACKS)))  ## mend style and formatting
	$(tools_of)/ruff check --fix .
	$(tools_of)/ruff format .

docs: $(call ready,$(firstword $(STACKS)))  ## build the site in docs/_build/html
	$(tools_of)/python -m sphinx -W --keep-going -q docs docs/_build/html

check: lint docs test  ## all that continuous integration runs

clean:  ## remove the environments and caches; work_dirs stays
	rm -rf .venv build dist docs/_build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
