# `make` lists the targets. All of them start from a fresh clone: they need
# Python 3.8 or later, make and a package index. Another Python or torch gets
# environments of its own, with the pins that it needs:
#   make test VENV=.venv/torch-2.1 PYTHON=python3.10 STACKS=openmmlab \
#       TORCH=torch==2.1.2 TORCHVISION=torchvision==0.16.2 EXTRAS=test \
#       PINS='numpy<2 opencv-python<4.12 kornia<0.8.3'
VENV ?= .venv
PYTHON ?= python3
STACKS ?= openmmlab onedl
DEMO_STACK ?= onedl
TORCH ?= torch==2.13.0
# mmpretrain imports torchvision; 0.28 is the partner of torch 2.13.
TORCHVISION ?= torchvision==0.28.0
EXTRAS ?= test,triton,lint,docs
PINS ?=
PYTEST_ARGS ?= -n 2

pins = $(foreach pin,$(PINS),'$(pin)')
ready = $(VENV)/$(1)/ready
tools_of = $(VENV)/$(firstword $(STACKS))/bin

.PHONY: help setup demo demo-kd demo-semi test test-gpu zoo recipes lint format links docs docs-check check clean
.SECONDARY:

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(foreach stack,$(STACKS),$(call ready,$(stack))) $(VENV)/torchvision  ## make an environment for each of the two stacks

# torch comes first and stays, whatever others ask for. Where
# OpenCV lacks the graphics libraries of a desktop, it is replaced by the
# build that does without them.
$(call ready,%): pyproject.toml
	$(PYTHON) -m venv $(VENV)/$*
	$(VENV)/$*/bin/python -m pip install '$(TORCH)'
	$(VENV)/$*/bin/python -m pip install -e '.[$*,$(EXTRAS)]' '$(TORCH)' $(pins)
	$(VENV)/$*/bin/python -c 'import cv2' || { \
	    $(VENV)/$*/bin/python -m pip uninstall -y opencv-python && \
	    $(VENV)/$*/bin/python -m pip install opencv-python-headless \
	        $(subst opencv-python,opencv-python-headless,$(pins)); }
	touch $@

# Beside the environments, not in them: its operators load only with a torch
# that was built alike, and the tests do without them (tests/conftest.py).
$(VENV)/torchvision: | $(call ready,$(firstword $(STACKS)))
	$(tools_of)/python -m pip install --no-deps --target $@ '$(TORCHVISION)'

demo_of = $(VENV)/$(DEMO_STACK)/bin/python -m demo $(1) \
    $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ITERS),--iters $(ITERS))

demo: $(call ready,$(DEMO_STACK))  ## train on embedded data with and without JML (SEEDS= ITERS=)
	$(call demo_of,jml)

demo-kd: $(call ready,$(DEMO_STACK))  ## distil a teacher into a small student on the same data (SEEDS= ITERS=)
	$(call demo_of,kd)

demo-semi: $(call ready,$(DEMO_STACK))  ## learn from few labels and many unlabelled images (SEEDS= ITERS=)
	$(call demo_of,semi)

test: $(STACKS:%=test-%)  ## run the tests on both stacks (PYTEST_ARGS=)

test-%: $(call ready,%) $(VENV)/torchvision
	@echo '== tests on the $* stack'
	OMP_NUM_THREADS=1 $(VENV)/$*/bin/python -m pytest $(PYTEST_ARGS)

# The same tests on the device that tests/conftest.py gives them.
test-gpu: $(call ready,$(firstword $(STACKS))) $(VENV)/torchvision  ## run the tests that need a GPU, on one stack (PYTEST_ARGS=)
	@$(tools_of)/python -c 'import torch; torch.cuda.is_available() or exit( \
	    f"Expected a GPU for make test-gpu but torch {torch.__version__} " \
	    "finds none. make test runs all that needs none.")'
	OMP_NUM_THREADS=1 $(tools_of)/python -m pytest $(PYTEST_ARGS) -m gpu

zoo: $(STACKS:%=zoo-%)  ## train a step of every kind of mmseg's configs, and write docs/zoo.md (half an hour)
	$(tools_of)/python -m tests.zoo.report docs/zoo.md $(STACKS:%=work_dirs/zoo/%.xml)

zoo-%: $(call ready,%) $(VENV)/torchvision
	ZOO=all OMP_NUM_THREADS=1 $(VENV)/$*/bin/python -m pytest $(PYTEST_ARGS) \
	    tests/zoo -o junit_family=xunit1 --junitxml=work_dirs/zoo/$*.xml

recipes: $(STACKS:%=recipes-%)  ## take a training step of every config in configs (a quarter of an hour)

recipes-%: $(call ready,%) $(VENV)/torchvision
	RECIPES=all OMP_NUM_THREADS=1 $(VENV)/$*/bin/python -m pytest \
	    $(PYTEST_ARGS) tests/recipes

lint: $(call ready,$(firstword $(STACKS)))  ## check style, formatting and types
	$(tools_of)/ruff check .
	$(tools_of)/ruff format --check .
	$(tools_of)/mypy

format: $(call ready,$(firstword $(STACKS)))  ## mend style and formatting
	$(tools_of)/ruff check --fix .
	$(tools_of)/ruff format .

links: $(call ready,$(firstword $(STACKS)))  ## check the links between pages
	$(tools_of)/python -m pytest -q tests/docs/test_links.py

docs: $(call ready,$(firstword $(STACKS)))  ## build the site in docs/_build/html
	$(tools_of)/python -m sphinx -W --keep-going -q docs docs/_build/html

docs-check: docs  ## look at every page of the site in headless Chromium
	$(tools_of)/python docs/check.py docs/_build/html

# Where a browser is, the site is looked at.
check: lint docs $(if $(shell command -v chromedriver),docs-check) test  ## all that continuous integration runs

clean:  ## remove the environments and caches; work_dirs stays
	rm -rf .venv build dist docs/_build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
