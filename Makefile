# The course's commands: `make help` lists them. They need Python 3.11 to 3.13, make and git, no more.

PYTHON ?= python3
ROUNDS ?= 20
VENV_PYTHON := .venv/bin/python

# In a container one is often root, which JupyterLab takes for a mistake.
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help course test lab refresh stress interrupt figures bench restart paths preflight classroom \
	slides handout site record checkpoints environment clean

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

stress: environment ## run the notebooks twenty times, shuffled: do their outputs stay the same?
	@$(VENV_PYTHON) .ci/course.py --stress $(ROUNDS)

interrupt: environment ## interrupt each cell of over 0.1 s half-way, and run it again: does it hold?
	@$(VENV_PYTHON) .ci/interrupt.py

figures: environment ## measure what each notebook takes, and write it wherever it is said
	@COURSE_TIER=micro $(VENV_PYTHON) .ci/course.py --jobs 1
	@$(VENV_PYTHON) .ci/figures.py --measured

bench: environment ## time the course against its imports alone: within 210 s, and 4 times
	@$(VENV_PYTHON) .ci/bench.py

restart: environment ## begin each section after setup and its catch-up cell: does it run?
	@$(VENV_PYTHON) .ci/restart.py

paths: environment ## run the paths of 50 and 90 minutes, and leave them in build/paths
	@$(VENV_PYTHON) .ci/restart.py --path 50
	@$(VENV_PYTHON) .ci/restart.py --path 90

preflight: ## look a machine over before a lesson, in half a minute
	@$(PYTHON) .ci/preflight.py

classroom: environment ## fill build/classroom for a class without a network
	@$(VENV_PYTHON) .ci/classroom.py

slides: environment ## make a deck of slides from each notebook, in build/slides
	@$(VENV_PYTHON) .ci/slides.py

handout: environment ## the notebooks without their answers, in build/handout
	@$(VENV_PYTHON) .ci/handout.py

site: ## build the course's site, in build/site
	@$(PYTHON) .ci/environment.py --site
	@$(VENV_PYTHON) .ci/site/build.py

record: environment ## record what the real checkpoints answer, in assets/real (needs the Hub)
	@$(VENV_PYTHON) .ci/record.py

checkpoints: environment ## train all models again: some nine hours; one: make checkpoints ROLES=translator
	@$(VENV_PYTHON) assets/recipes/rebuild.py $(ROLES)

environment: ## make .venv, if it is not there or out of date
	@command -v $(PYTHON) > /dev/null || { echo "No $(PYTHON) here. Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python@3.13"; exit 1; }
	@$(PYTHON) .ci/environment.py

clean: ## remove .venv and build
	rm -rf .venv .venv.old .venv.lock build
