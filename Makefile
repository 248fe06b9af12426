# Everything sets itself up: `make demo` and `make test` need only Python 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# One stamp per set of inputs: an interrupted install leaves no stamp, so the next run repeats it.
STAMP := $(VENV)/.installed
# `make test PROCESSES=2`: other numbers for other machines.
PROCESSES ?= 4
# Four processes for two cores, each with a private server, since many tests wait; in the order that tests/support/longest_first.py
# gives. Roles of a given server are shared, so there one after the other.
IN_PARALLEL := $(if $(IMGVEC_TEST_DSN),,-n $(PROCESSES) --dist loadfile --no-loadscope-reorder)

.PHONY: demo test bench chaos lint types layers bytecode pytest docs docs-serve shop photos browser fuzz matrix wheel wheel-check audit clean help

help:
	@echo "make demo    set up, then search a small shop's pictures in a private PostgreSQL"
	@echo "make shop    set up, then an example shop in Django on http://127.0.0.1:8001/"
	@echo "make photos  set up, then an example photo library in Flask on http://127.0.0.1:8002/"
	@echo "make browser drives both in Chromium (Debian: apt install chromium)"
	@echo "make test    set up, then ruff, mypy, import-linter and pytest"
	@echo "make docs    set up, then write the reference pages from the code and build the documentation into site/"
	@echo "make docs-serve  the same, served on http://127.0.0.1:8003/ and built anew at each change"
	@echo "make chaos   set up, then at most 20 minutes of killed workers, crashed servers, stalled networks and full disks"
	@echo "make bench   at most 25 minutes: every ratio of the project beside its target"
	@echo "make fuzz    about four minutes of bad pictures; with atheris when it can be installed"
	@echo "make matrix  the tests that depend on versions, with the oldest and newest packages and servers"
	@echo "make wheel   builds dist/*.whl and dist/*.tar.gz and checks them"
	@echo "make wheel-check installs the wheel by pip into empty environments and runs the documentation's examples there; needs a network"
	@echo "make audit   look the dependencies up in PyPI's list of known vulnerabilities; needs a network"

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) > /dev/null || \
	  { echo "there is no '$(PYTHON)' here; imgvec-pg needs Python 3.11 or newer. Try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "imgvec-pg needs Python 3.11 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up $(VENV), once: 1.5 GB of disk, or 5 GB where pip takes PyTorch with NVIDIA's libraries"
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu: apt install python3-venv, then the same again" >&2; rm -rf $(VENV); exit 1; }
	@echo "  1 of 2: PyTorch, the large part; a minute or more"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch torchvision
	@echo "  2 of 2: the rest"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,embedded,models]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/imgvec demo

shop: $(STAMP)
	@$(BIN)/python examples/django_shop/run.py

photos: $(STAMP)
	@$(BIN)/python examples/flask_photos/run.py

browser: $(STAMP)
	@$(BIN)/python -c 'import playwright' 2> /dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@test -f .imgvec/axe/node_modules/axe-core/axe.min.js || ! command -v npm > /dev/null || \
	  npm install --silent --no-fund --no-audit --prefix .imgvec/axe axe-core@4.14.1
	@$(BIN)/python examples/browser.py
	@IMGVEC_BROWSER_TESTS=1 $(BIN)/python -m pytest -q tests/pages/test_browse_in_browser.py tests/duplicates/test_review_in_browser.py \
	  tests/maps/test_map_in_browser.py

# mypy takes one core as long as the rest of the first line together takes the other.
test: $(STAMP)
	@$(MAKE) --no-print-directory -j2 --output-sync=target types lint layers bytecode
	@$(MAKE) --no-print-directory pytest

chaos: $(STAMP)
	@timeout 1260 $(BIN)/python benchmarks/chaos.py

# MACHINE="the shop's server" names it in benchmarks/history.jsonl; ONLY="django writing" runs those (BENCH=--list names them);
# PEERS=DIR has other programs' environments, made there once: clip-retrieval, 2 GB.
bench: $(STAMP)
	@$(BIN)/python -m benchmarks.ratios $(if $(MACHINE),--machine "$(MACHINE)") $(if $(ONLY),--only $(ONLY)) \
	  $(if $(PEERS),--peers "$(PEERS)") $(BENCH)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

# Hundreds of processes of `imgvec` begin sooner with bytecode. The tests' own has pytest's assertions in it: in a new clone each of
# the processes of `make pytest` would compile all of it for itself, as they collect at the same time. A fault is pytest's to show.
bytecode: $(STAMP)
	@$(BIN)/python -m compileall -q imgvec_pg migrations
	@test -d tests/__pycache__ || PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --collect-only -q > /dev/null 2>&1 || true

# What runs in the tests writes no bytecode, see tests/conftest.py.
pytest: bytecode
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(IN_PARALLEL)

# Material for MkDocs announces its end of life (May 2027) at each build; the variable is its own switch for that.
docs: $(STAMP)
	@$(BIN)/python -m tools.docs.generate
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open site/index.html by way of a server: make docs-serve"

docs-serve: docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --dev-addr 127.0.0.1:8003

# atheris has wheels for some Pythons on Linux only; without it the run says so and does the rest.
fuzz: $(STAMP)
	@$(BIN)/python -c 'import atheris' 2> /dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt atheris || true
	$(BIN)/python tests/fuzz/run.py

# ONLY="SQLAlchemy" runs the entries of that name; tests/matrix/matrix.toml has them all.
matrix: $(STAMP)
	@$(BIN)/python tests/matrix/run.py $(ONLY)

wheel: $(STAMP)
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation
	@$(BIN)/twine check --strict dist/*
	@$(BIN)/check-wheel-contents dist/*.whl

# `make pytest` runs the same tests on links to what is installed.
wheel-check: $(STAMP)
	IMGVEC_TEST_PIP=1 $(BIN)/python -m pytest -rP tests/distribution

# Beside the project's own packages, whose versions stay as they are.
audit: $(STAMP)
	@test -x $(VENV)/audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)/audit && \
	  $(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.7'; } || \
	  { echo "audit: not run: pip-audit cannot be installed here" >&2; exit 3; }
	@$(VENV)/audit/bin/python tests/security/audit.py

clean:
	rm -rf $(VENV) site .fuzz .matrix .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
