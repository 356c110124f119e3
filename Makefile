# The course's commands: `make help` lists them. They need Python 3.11 to 3.13, make and git, no more.

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python

# In a container one is often root, which JupyterLab takes for a mistake.
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help course test lab refresh stress figures environment clean

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1@\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F@ '{ printf "%-20s%s\n", $$1, $$2 }'

course: environment ## run every notebook on this machine; read build/index.html after
	@$(VENV_PYTHON) .ci/course.py

test: environment ## run the notebooks and the tests
	@$(VENV_PYTHON) -m pytest

lab: environment ## open the notebooks in JupyterLab, on this machine only
	@$(VENV_PYTHON) -m jupyterlab --ip=127.0.0.1 --LabApp.default_url=/lab/tree/notebooks $(AS_ROOT)

refresh: environment ## run every notebook and store its outputs in it, for maintainers
	@$(VENV_PYTHON) .ci/course.py --store

stress: environment ## run the notebooks three times, shuffled: do their outputs stay the same?
	@$(VENV_PYTHON) .ci/course.py --stress 3

figures: environment ## measure what each notebook takes, and write it wherever it is said
	@$(VENV_PYTHON) .ci/course.py --jobs 1
	@$(VENV_PYTHON) .ci/figures.py --measured

environment: ## make .venv, if it is not there or out of date
	@command -v $(PYTHON) > /dev/null || { echo "No $(PYTHON) here. Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python@3.13"; exit 1; }
	@$(PYTHON) .ci/environment.py

clean: ## remove .venv and build
	rm -rf .venv build
