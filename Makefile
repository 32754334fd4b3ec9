# `make` alone lists the verbs. A machine needs python3 (3.11 or newer) with venv, and make.
PYTHON ?= python3
BIN := .venv/bin
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

help:  ## list the verbs
	@awk -F ':.*##' '/^[a-z]+:.*##/ { printf "make %-8s%s\n", $$1, $$2 }' Makefile

run: .venv/run  ## start everything on 127.0.0.1:8000 (make run PORT=9000 for another port)
	@$(BIN)/python -m sfjwt_site.run

test: .venv/dev  ## run the tests (ARGS="-k word" hands options to pytest)
	@$(BIN)/python -m pytest $(ARGS)

# Keys made on the spot, and no .env: what is checked doesn't depend on whose machine it is.
check: export ENV_FILE =
check: export VAR_DIR = var/check
check: .venv/dev  ## lint, format, types, import contracts, migrations, production settings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/djade --check --target-version 5.2 $$(find templates sf_integration/templates -name '*.html')
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run --settings tests.settings
	@random() { $(BIN)/python -c "import secrets; print(secrets.token_urlsafe($$1))"; }; \
	SECRET_KEY=$$(random 50) SF_ENCRYPTION_KEYS=$$(random 32) SITE_URL=https://connections.example DEBUG=off \
	$(BIN)/python manage.py check --deploy --fail-level WARNING

docs: .venv/dev  ## make a site of the documents, in var/docs
	@$(BIN)/python -m docs.references
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs --doctree-dir var/doctrees . var/docs
	@echo "Open var/docs/index.html"

bench: .venv/dev  ## measure, beside references; also writes bench.json (make bench QUICK=1 for a minute's look)
	@$(BIN)/python -m benchmarks

# As the units in docs/deploy have it.
soak: export MALLOC_ARENA_MAX = 2
soak: .venv/dev  ## half an hour of calls and faults (make soak MINUTES=5; needs PostgreSQL, see docs/soak.md)
	@$(BIN)/python -m pytest -n0 -s tests/long/soak.py $(ARGS)

chaos: .venv/dev  ## kill, stop and bring back every part of a site on many hosts (needs PostgreSQL, Redis, RabbitMQ)
	@$(BIN)/python -m pytest -n0 -s tests/long/chaos.py tests/long/dead_hour.py $(ARGS)

matrix: .venv/dev  ## the tests on each Python and Django that is supported and found here (ARGS=--extras: the wheel's extras)
	@$(BIN)/python -m tests.matrix $(ARGS)

bare: .venv/dev  ## README's two commands and the wheel on a bare Debian 12 (needs root and debootstrap)
	@$(BIN)/python -m tests.long.bare $(ARGS)

mutants: .venv/dev  ## change crypto, claim, token and access code bit by bit, and see whether tests notice (ARGS=tokens/gate.py)
	@$(BIN)/python -m tests.mutation $(ARGS)

pictures: .venv/dev  ## take the pictures of the documents anew (needs a Chromium)
	@$(BIN)/python -m pytest -n0 tests/browser/pictures.py

format: .venv/dev  ## format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: .venv/dev  ## renew the locks from requirements*.in
	$(LOCK) requirements.in --output-file requirements.txt
	$(LOCK) requirements-dev.in --output-file requirements-dev.txt

# Stamps: newer than the locks that were installed last.
.venv/run: requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found. Install Python 3.11 or newer (apt install python3 python3-venv)." >&2; exit 1; }
	@$(PYTHON) sfjwt_site/run/bootstrap.py $@ requirements.txt

.venv/dev: .venv/run requirements-dev.txt
	@$(PYTHON) sfjwt_site/run/bootstrap.py $@ requirements.txt requirements-dev.txt

.PHONY: help run test check docs bench soak chaos matrix bare mutants pictures format lock
