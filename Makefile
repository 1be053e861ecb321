# make            build the environment and run the default study
# make status     how far the study is: done, running, failed, left, time (also while it runs, in another terminal)
# make plan       what the study has still to run, and how long that takes (GPU_TFLOPS=8: on a GPU that is not here)
# make confirm    judge the same claims on fresh seeds, by the same rules (CONFIRM_FROM=2000: from that seed on)
# make compare    compare the verdicts of studies claim by claim (STUDIES="digits fashion_mlp")
# make export     each network as a .safetensors file that its plain PyTorch model loads
# make explorer   one page of the study with plots to turn and sliders to move; it opens without a network
# make archive    the study, its report and an archive of both that proves where every figure came from
# make verify     check every checksum of the archive (ARCHIVE=…: of another one)
# make test       run the quick tests: units and one smoke study (TESTS=tests/unit: some of them)
# make test-all   run all tests
# make orphans    list the Slurm jobs that a killed run left behind; DO=wait or DO=cancel
# make site       build the documentation as a site, docs/_build/index.html, and run its notebooks
# make bench      time the project beside its peers, some 25 minutes on two cores (WORK=grid_mlp: one work), see docs/performance.md
# make growth     how time and memory grow with seeds, weights, points, directions, settings: docs/performance.md
# make lock       rewrite the locks and the conda environment from envs/requirements.txt and docs.txt (UPGRADE="--upgrade-package rich")
# Options: CONFIG=config/fashion.yaml  CORES=4  PYTHON=python3.12  TORCH_INDEX=<a package index with the PyTorch build you want>
# Without TORCH_INDEX, PyTorch comes from where pip is configured to look; where nothing is configured, from PyTorch's own
# index, in the build for this machine (for CPUs, if it has no GPU). UV_TORCH_BACKEND=cu128 or =cpu chooses another.

CONFIG ?= config/config.yaml
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
TORCH_INDEX ?=

BIN := .venv/bin
READY := .venv/.complete
SPHINX := .venv/.sphinx
BENCHMARK := .venv-benchmark/.complete
UV := $(BIN)/uv
# The logger is scripts/snakemake_logger_plugin_wedgescape: bars on a terminal, a line per finished job elsewhere.
SNAKEMAKE := PYTHONPATH=scripts $(BIN)/snakemake --cores $(CORES) --logger wedgescape
# Each config file must be there; Snakemake would answer with a traceback.
CONFIGS = $(foreach file,$(CONFIG),$(or $(wildcard $(file)),$(error CONFIG: there is no file $(file))))
RUN = $(SNAKEMAKE) --configfile $(CONFIGS)
NAME = "import sys, yaml; print([c['study'] for c in map(yaml.safe_load, map(open, sys.argv[1:])) if c and 'study' in c][-1])"
RESULTS = results/$(shell $(BIN)/python -X utf8 -c $(NAME) $(CONFIGS))
# Snakemake and uv need a folder for what they keep. Where home is read-only, it is here.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
ifneq ($(shell mkdir -p "$(CACHE)" 2>/dev/null && test -w "$(CACHE)" && echo usable),usable)
export XDG_CACHE_HOME := $(CURDIR)/.snakemake/cache
endif

.PHONY: all study status plan report explorer confirm compare export archive verify test test-all bench growth orphans lint format \
	lock docs site clean
.DELETE_ON_ERROR:

all: study
	@$(BIN)/python scripts/last_words.py $(RESULTS)

# The run writes the report at its end, which takes a second. It holds the explorer if there is one.
REPORT = $(RESULTS)/report
REPORTED = $(RUN) --report $(REPORT).part.html --report-after-run -- all $(1) && mv $(REPORT).part.html $(REPORT).html
study report: $(READY)
	@$(call REPORTED,$(if $(wildcard $(RESULTS)/explorer.html),explorer))

explorer: $(READY)
	@$(call REPORTED,explorer)
	@echo "Explorer  $(RESULTS)/explorer.html"

status: $(READY)
	@$(BIN)/python scripts/status.py --configfile $(CONFIGS) --cores $(CORES)

plan: $(READY)
	@$(BIN)/python scripts/plan_study.py --configfile $(CONFIGS) --cores $(CORES) $(if $(GPU_TFLOPS),--gpu-tflops $(GPU_TFLOPS))

# The same claims by the same rules, on seeds that were never used. Then both verdicts stand side by side.
CONFIRM_FROM ?= 1000
STUDY = $(notdir $(RESULTS))
FRESH = study=$(STUDY)_confirmation confirms=$(STUDY) first_seed=$(CONFIRM_FROM)
confirm: study
	@$(RUN) --config $(FRESH)
	@$(MAKE) --no-print-directory report

compare: $(READY)
	@$(BIN)/python scripts/compare_studies.py $(STUDIES)

# Each network as a file that its plain PyTorch model loads.
export: $(READY)
	@$(BIN)/python scripts/export.py $(RESULTS)

archive: explorer
	$(RUN) --forcerun archive -- archive

ARCHIVE ?= $(RESULTS)/archive.zip
verify: $(READY)
	@$(BIN)/python scripts/verify_archive.py $(ARCHIVE)

# Two processes share the files of tests. Slow ones come first.
PYTEST := $(BIN)/python -m pytest --durations=20
IN_TWO := -n 2 --dist loadfile --no-loadscope-reorder
test: $(READY)
	$(PYTEST) $(IN_TWO) -m "not slow" $(or $(TESTS),tests/workflow tests/unit)

# The tests on Slurm share one cluster, so they run one after the other.
test-all: $(READY)
	$(if $(TESTS),$(PYTEST) $(if $(findstring tests/slurm,$(TESTS)),,$(IN_TWO)) $(TESTS),\
		$(PYTEST) $(IN_TWO) tests/workflow tests/unit && $(PYTEST) tests/slurm)

# Nothing else should run meanwhile.
bench: $(BENCHMARK)
	.venv-benchmark/bin/python scripts/benchmark.py $(WORK)

growth: $(READY)
	$(BIN)/python scripts/growth.py

DO ?= list
orphans: $(READY)
	@$(BIN)/python scripts/orphans.py $(DO)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow
	PYTHONPATH=scripts $(BIN)/lint-imports --no-cache
	$(BIN)/snakemake --lint
	$(BIN)/python scripts/document.py --check

format: $(READY)
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format . ; $(BIN)/snakefmt workflow

docs: $(READY)
	$(BIN)/python scripts/document.py

# The notebooks open the stores of the tutorial's study. A warning is an error.
FIRST := config/first.yaml
site: $(SPHINX)
	$(SNAKEMAKE) --quiet all --configfile $(FIRST)
	PYTHONPATH="$(CURDIR)/scripts" $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs . docs/_build
	@echo; echo "Site      docs/_build/index.html"

# Versions in the lock change only if requirements.txt or UPGRADE asks for it. The lock needs the hashes for all platforms,
# so uv resolves from the public index, or from the one in UV_DEFAULT_INDEX, and not from where pip is configured to look.
lock: $(UV)
	$(BIN)/python scripts/lock.py $(UPGRADE)

# uv does not read pip's configuration. This prints its indexes and folders of wheels as options of uv.
AS_PIP = $(BIN)/python -m pip config list | awk -F "'" '/[.](index-url|extra-index-url|find-links)=/ { \
	sub(/.*[.]/, "--", $$1); n = split($$2, places, / |\\n/); \
	for (i = 1; i <= n; i++) if (places[i] && !($$1 == "--index-url=" && seen++)) print $$1 places[i] }'

# pip installs uv, and uv installs the rest. Like pip, uv takes a package from any index that has the version (best match),
# and it checks the hashes in the lock. Only PyTorch has none there, because its wheels differ from index to index.
$(UV):
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found; give one: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\]$$/p' envs/requirements.lock | \
		$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r /dev/stdin

# Python compiles modules at their first import, except where this variable forbids it.
COMPILED := $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
# Where nobody has chosen an index, uv takes PyTorch's build for this machine: that for CPUs where there is no GPU.
CHOSEN = $(TORCH_INDEX)$$UV_INDEX$$UV_DEFAULT_INDEX$$UV_TORCH_BACKEND$$($(AS_PIP))
INSTALL = $(UV) pip install --index-strategy unsafe-best-match $(COMPILED) \
	$$($(AS_PIP)) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $$(test -n "$(CHOSEN)" || echo --torch-backend=auto)
$(READY): envs/requirements.lock | $(UV)
	@echo "Installing $< into .venv"
	@$(INSTALL) --python $(BIN)/python -r $<
	touch $@

# What builds the site comes on top, and changes no version of the above.
$(SPHINX): envs/docs.lock | $(READY)
	@echo "Installing $< into .venv"
	@$(INSTALL) --python $(BIN)/python -r $<
	touch $@

# The project's own versions, with its peers on top: alone, because some of them require a CUDA build of PyTorch.
$(BENCHMARK): envs/benchmark.txt envs/requirements.lock | $(READY)
	@echo "Installing envs/requirements.lock and $< into .venv-benchmark"
	@$(UV) venv --quiet --clear --python $(BIN)/python .venv-benchmark
	@$(INSTALL) --python .venv-benchmark/bin/python -r envs/requirements.lock
	@$(INSTALL) --python .venv-benchmark/bin/python --no-deps -r $<
	@builds=$$(for python in $(BIN) .venv-benchmark/bin; do $$python/python -c "import torch; print(torch.__version__)"; done | uniq); \
		test $$(echo "$$builds" | wc -l) = 1 || { echo "PyTorch in .venv and .venv-benchmark differs:" $$builds; exit 1; }
	touch $@

clean:
	rm -rf .venv .venv-benchmark results .snakemake docs/_build
