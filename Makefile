# Everything that is done with Lethe from a fresh clone. Needs make and Python 3.11 or newer with venv; the rest is
# installed into .venv by itself.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# The first Python that is new enough; say `make PYTHON=/path/to/python …` for another.
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,\
	$(shell $(python) -c '$(USABLE)' 2>/dev/null && echo $(python))))

# Test processes side by side, each with a Synapse of its own. Twice as many as cores: they wait more than they compute.
WORKERS ?= 4
# A test that waited in vain for another process gets one more try, and is listed: two cores can be busy. Nothing else is
# tried twice.
AGAIN := --reruns 1 --only-rerun 'did not see' --only-rerun TimeoutError -r R

BIN := .venv/bin
READY := .venv/ready

.PHONY: help
help: ## list the targets
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(READY) ## install everything into .venv (done by the other targets when needed)

$(READY): requirements.txt requirements-dev.txt
	@$(if $(PYTHON),:,echo "Lethe needs Python 3.11 or newer with venv. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1)
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# An independent client for the tests. Without Node 20 or newer, and npm, they say that it is missing and are skipped.
JS := tests/js/node_modules/ready
NODE := $(shell command -v npm >/dev/null && node -p 'process.versions.node.split(".")[0] >= 20' 2>/dev/null)

.PHONY: js
js: $(JS) ## install matrix-js-sdk for the tests (done by the other targets when Node is there)

$(JS): tests/js/package.json tests/js/package-lock.json
	cd tests/js && npm ci
	@touch $@

.PHONY: test
test: $(READY) $(if $(filter true,$(NODE)),$(JS)) ## run every test with one homeserver of one process (arguments for pytest: ARGS="-k name")
	@$(if $(filter true,$(NODE)),:,echo "No Node 20 or newer with npm here: the tests with matrix-js-sdk are skipped")
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(AGAIN) $(ARGS)

# What everything else rests on: the main job, who may do it, one's own removal, kills, outages, forgeries, the set-up.
S := tests/synapse
CORE := tests/unit $S/admin_room/test_main_job.py $S/admin_room/test_refusals.py $S/admin_room/test_prompt.py \
	$S/admin_room/test_confirmation.py $S/admin_room/test_ladder.py $S/direct/test_deactivate.py $S/direct/test_claims.py \
	$S/engine/test_restart.py $S/engine/test_outages.py $S/engine/test_steps.py $S/cli/test_init.py $S/cli/test_run.py \
	$S/homeserver/encryption/test_forgeries.py $S/simulation

.PHONY: test-core
test-core: ARGS = -m "not slow" $(CORE)
test-core: test ## what needs no homeserver, and with one what everything else rests on (minutes)

.PHONY: test-quick
test-quick: $(READY) ## only what needs no homeserver, tests/unit (less than a minute)
	$(BIN)/python -m pytest tests/unit -n $(WORKERS) --dist worksteal $(ARGS)

# Several processes each, so one after the other; a test that waits for one that was killed may wait for minutes.
.PHONY: test-workers
test-workers: $(READY) ## with a Synapse of several processes: needs PostgreSQL, Redis and nginx (eight minutes)
	$(BIN)/python -m pytest tests/workers $(AGAIN) $(ARGS)

.PHONY: test-federation
test-federation: $(READY) ## with two homeservers that federate (six minutes)
	$(BIN)/python -m pytest tests/federation $(AGAIN) $(ARGS)

.PHONY: test-mas
test-mas: $(READY) ## run the tests of servers with MAS against a real one (MAS=/path/to/mas-cli; needs PostgreSQL)
	@test -x "$(MAS)" || { echo "Say where the program is: make test-mas MAS=/path/to/mas-cli" >&2; exit 1; }
	MAS_CLI="$(abspath $(MAS))" $(BIN)/python -m pytest tests/synapse/mas -n 2 $(AGAIN) -rs $(ARGS)

.PHONY: lint
lint: $(READY) ## style, format, strict types, the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports --no-logo

.PHONY: check
check: lint test-core crash-short fuzz-short ## what has to pass before a change lands; what .ci/run calls (ten minutes)

.PHONY: ci
ci: $(READY) $(if $(filter true,$(NODE)),$(JS)) ## everything that isn't an hour long, with a table at its end (40 minutes on two cores)
	MAS="$(if $(MAS),$(abspath $(MAS)))" MAKE="$(MAKE)" $(BIN)/python -m stress.ci

.PHONY: fuzz
fuzz: $(READY) ## tens of thousands of random events and to-device messages through the parsing path (minutes)
	$(BIN)/python -m stress.fuzz $(ARGS)

.PHONY: fuzz-short
fuzz-short: $(READY) ## the same for half a minute, the seeds that failed once among them
	$(BIN)/python -m stress.fuzz --pieces 100 --seconds 20 --failed $(ARGS)

.PHONY: simulate
simulate: $(READY) ## play 1,000 lives of the bot against a model of the homeserver, each decided by a seed (minutes)
	$(BIN)/python -m simulation $(ARGS)

.PHONY: mutate
mutate: $(READY) ## change the code in thousands of ways and see which change no unit test notices (an hour)
	nice $(BIN)/mutmut run $(ARGS)
	$(BIN)/python -m stress.mutants

.PHONY: crash-sync
crash-sync: $(READY) ## kill the bot 60 times while encrypted commands arrive, and count (minutes)
	$(BIN)/python -m stress.crash_sync $(ARGS)

.PHONY: soak
soak: $(READY) ## half an hour of a busy server: 5,000 commands and messages, and memory that has to stay flat
	$(BIN)/python -m stress.soak $(ARGS)

.PHONY: links
links: $(READY) ## ask every address on the web that the pages link to (needs the web)
	$(BIN)/python -m docs.links

.PHONY: demo
demo: $(READY) ## play the main job on a throw-away homeserver (KEEP=1 leaves it running)
	KEEP=$(KEEP) $(BIN)/python -m sandbox.demo

.PHONY: demo-wave
demo-wave: $(READY) ## play the removal of two hundred spam accounts by one decision (two minutes)
	$(BIN)/python -m sandbox.demo_wave

.PHONY: pictures
pictures: $(READY) $(JS) ## take the pictures of README and docs anew, in Chromium (five minutes)
	$(BIN)/python -m sandbox.pictures

.PHONY: crash
crash: $(READY) ## kill bot and homeserver at every point of every step of a removal (an hour)
	$(BIN)/python -m stress.crash

.PHONY: crash-short
crash-short: $(READY) ## a fair sample of that (two minutes; part of `make check`)
	$(BIN)/python -m stress.crash --short

.PHONY: crash-short-mas
crash-short-mas: $(READY) ## the same on a server with MAS (part of `make ci`)
	$(BIN)/python -m stress.crash --short --mas

.PHONY: bench
bench: $(READY) ## how fast: a removal, a wave against a plain script, commands with years of work in the database
	$(BIN)/python -m bench $(ARGS)

# Run it after a change of the dependencies in pyproject.toml or requirements-dev.in. What is locked already stays as it
# is where it still fits; UPGRADE=1 takes the newest.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header $(if $(UPGRADE),--upgrade)
.PHONY: lock
lock: ## lock all dependencies, with hashes
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) pyproject.toml requirements-dev.in -c requirements.txt -o requirements-dev.txt

.PHONY: format
format: $(READY) ## put the code into its format
	$(BIN)/ruff format .

.PHONY: clean
clean: ## remove what was installed and cached
	rm -rf .venv .cache mutants tests/js/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
