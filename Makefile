# make            build the environment and run the default study
# make plan       what the study has still to run, and how long that takes (GPU_TFLOPS=8: on a GPU that is not here)
# make archive    the study, its report and an archive of both that proves where every figure came from
# make verify     check every checksum of the archive (ARCHIVE=…: of another one)
# make test       run the tests (TESTS=tests/unit: some of them)
# make orphans    list the Slurm jobs that a killed run left behind; DO=wait or DO=cancel
# Options: CONFIG=config/fashion.yaml  CORES=4  PYTHON=python3.12  TORCH_INDEX=<a package index with the PyTorch build you want>

CONFIG ?= config/config.yaml
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
TORCH_INDEX ?=

BIN := .venv/bin
READY := .venv/.complete
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES) $(shell test -t 1 && echo --logger rich)
RUN = $(SNAKEMAKE) --configfile $(CONFIG)
RESULTS = results/$(shell $(BIN)/python -c "import yaml; print(yaml.safe_load(open('$(lastword $(CONFIG))'))['study'])")

.PHONY: all study plan report archive verify test orphans lint format lock docs clean
.DELETE_ON_ERROR:

all: study report
	@echo; echo "Report    $(RESULTS)/report.html"; echo "Figures   $(RESULTS)/figures"; echo "Verdicts  $(RESULTS)/claims.csv"

study: $(READY)
	$(RUN)

plan: $(READY)
	@$(BIN)/python scripts/plan_study.py --configfile $(CONFIG) --cores $(CORES) $(if $(GPU_TFLOPS),--gpu-tflops $(GPU_TFLOPS))

# The report is made anew only when a result is newer.
report: study
	@if [ -z "$$(find $(RESULTS)/report.html -newer $(RESULTS)/claims.csv 2>/dev/null)" ] || \
	   [ -n "$$(find $(RESULTS)/figures -newer $(RESULTS)/report.html)" ]; then \
		$(BIN)/snakemake --quiet all --configfile $(CONFIG) --report $(RESULTS)/report.part.html && \
		mv $(RESULTS)/report.part.html $(RESULTS)/report.html; fi

archive: report
	$(RUN) --forcerun archive -- archive

ARCHIVE ?= $(RESULTS)/archive.zip
verify: $(READY)
	@$(BIN)/python scripts/verify_archive.py $(ARCHIVE)

test: $(READY)
	$(BIN)/python -m pytest $(TESTS)

DO ?= list
orphans: $(READY)
	@$(BIN)/python scripts/orphans.py $(DO)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow
	$(BIN)/snakemake --lint
	$(BIN)/python scripts/document_config.py --check

format: $(READY)
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format . ; $(BIN)/snakefmt workflow

docs: $(READY)
	$(BIN)/python scripts/document_config.py

INDEX = $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# Packages that requirements.txt does not name keep the versions that the lock has: delete a line there to let one move.
lock:
	rm -rf .lock && $(PYTHON) -m venv .lock
	.lock/bin/python scripts/lock_environment.py $(INDEX) || { rm -rf .lock; exit 1; }
	rm -rf .lock

# pip wants the hashes of all packages or of none: those that have one, then those whose files differ between platforms.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
$(READY): envs/requirements.lock
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found; give one: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv
	grep -e --hash= $< | $(INSTALL) --require-hashes --no-deps -r /dev/stdin
	grep -v -e --hash= $< | $(INSTALL) -r /dev/stdin $(INDEX)
	$(BIN)/python -m pip check
	touch $@

clean:
	rm -rf .venv results .snakemake
