# `make demo` and `make test` make all that they need: a Python >= 3.11 and a package index are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint requirements/pinned.txt

# Which interpreter the environment is made of, and where: another one, or another folder, makes it anew.
IDENTITY := $(shell $(PYTHON) -c 'import sys; print(sys.executable, sys.version.split()[0])' 2>/dev/null) $(CURDIR)

.PHONY: demo test lint pins clean FORCE

demo: $(VENV)/.demo  ## Write a real COG from a real picture of the Earth, and show what was written
	$(BIN)/python examples/demo.py

test: $(VENV)/.test  ## Run every test
	$(BIN)/python -m pytest --numprocesses auto

lint: $(VENV)/.test  ## What CI checks before it tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

pins:  ## Renew requirements/pinned.txt (needs uv)
	uv pip compile pyproject.toml --extra test --universal --python-version 3.11 \
		--no-header --no-annotate --upgrade --output-file requirements/pinned.txt

clean:  ## Remove what the commands above made
	rm -rf $(VENV) $(VENV).identity demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV).identity: FORCE
	@echo '$(IDENTITY)' | cmp --silent - $@ || echo '$(IDENTITY)' > $@

$(VENV)/.made: $(VENV).identity
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "georeader-cog needs Python >= 3.11; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || \
		{ echo "this Python can't make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml requirements/pinned.txt
	@echo "installing georeader-cog[demo] into $(VENV) ..."
	@$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml requirements/pinned.txt
	@echo "installing georeader-cog[test] into $(VENV) ..."
	@$(INSTALL) --editable '.[test]'
	@touch $@ $(VENV)/.demo
