# `make demo` and `make test` make all that they need: a Python >= 3.11 and a package index are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE_MODULES := tests/support/foreign/node/node_modules tests/support/servers/node/node_modules tests/support/checkers/node/node_modules page/node_modules
NGINX := tests/support/servers/debian
# uv installs in seconds what takes pip minutes; pip is for machines whose package index is known to pip alone.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python
install = $(UV) $(1) 2>/dev/null || $(PIP) $(1)
BENCH := benchmarks/.venv
QUICK := tests/unit tests/contracts tests/cli
# A change of these compiles the LZW encoder again.
BUILD := setup.py src/georeader/_codecs/_lzw.c src/georeader/_codecs/_lzw_decode.h

# Which interpreter the environment is made of, and where: another one, or another folder, rebuilds it.
IDENTITY := $(shell $(PYTHON) -c 'import sys; print(sys.executable, sys.version.split()[0])' 2>/dev/null) $(CURDIR)

.PHONY: demo page gallery docs docs-build prepare test test-quick test-local test-thorough lint bench bench-upload bench-catalog bench-cli bench-cluster bench-edit bench-blend bench-web bench-presets bench-codecs pins clean FORCE

demo: $(VENV)/.demo  ## Write a real COG from a real picture of the Earth, and show what was written
	$(BIN)/python examples/demo.py

page: page/node_modules  ## Build the map page of georeader.view again
	cd page && npm run --silent build

prepare: $(VENV)/.test $(NODE_MODULES) $(NGINX)/.made  ## Install what the tests need: make --jobs prepare

test: prepare  ## Run every test
	$(BIN)/python -m pytest --numprocesses auto --durations 20

test-quick: $(VENV)/.test  ## Run in less than a minute what needs no server
	$(BIN)/python -m pytest --numprocesses auto -m "not server and not slow and not fault and not fuzz" $(QUICK)

test-local: $(VENV)/.test $(NODE_MODULES)  ## The tests of a second Python, without servers: make test-local PYTHON=python3.13 VENV=.venv-3.13
	$(BIN)/python -m pytest --numprocesses auto -m "not slow and not server"

test-thorough: prepare  ## Every test, and more of what takes long
	GEOREADER_THOROUGH=1 $(BIN)/python -m pytest --numprocesses auto

lint: $(VENV)/.test  ## What CI checks before it tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

gallery: $(VENV)/.test  ## Execute the notebooks of docs/gallery and store what they show: make gallery ARGS="class_map"
	$(BIN)/python tests/support/notebooks.py $(ARGS)

docs: $(VENV)/.docs  ## Serve the documentation site at http://127.0.0.1:8000, built again after each change
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --dev-addr 127.0.0.1:8000

docs-build: $(VENV)/.docs  ## Build the site into build/site; a dead link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Another Python has another GDAL in its rasterio: make bench PYTHON=python3.13 BENCH=benchmarks/.venv-3.13
bench: $(BENCH)/.bench  ## Measure speed, size and memory beside the peers: make bench ARGS="--only uint16-lzw"
	$(BENCH)/bin/python -m benchmarks $(ARGS)

bench-upload: $(VENV)/.test  ## Measure saving to S3 beside local saves, boto3 and georeader-spaceml: make bench-upload ARGS="--rounds 3"
	PYTHONPATH=tests/support:tests:. $(BIN)/python -m benchmarks.upload $(ARGS)

bench-catalog: $(VENV)/.test  ## Measure CatalogPipeline beside a loop by hand: make bench-catalog ARGS="--rounds 3"
	PYTHONPATH=. $(BIN)/python -m benchmarks.catalog $(ARGS)

bench-cli: $(VENV)/.test  ## Measure `georeader cog` beside the Python call: make bench-cli ARGS="--rounds 3"
	PYTHONPATH=. $(BIN)/python -m benchmarks.cli $(ARGS)

bench-web: $(VENV)/.test  ## Measure web-optimized COGs beside GDAL's driver and rio-cogeo: make bench-web ARGS="--rounds 3"
	PYTHONPATH=. $(BIN)/python -m benchmarks.web $(ARGS)

bench-cluster: $(VENV)/.test  ## Measure saves on a Dask cluster beside odc-geo's: make bench-cluster ARGS="--rounds 3 --codecs zstd"
	PYTHONPATH=tests/support:tests:. $(BIN)/python -m benchmarks.cluster $(ARGS)

bench-edit: $(VENV)/.test  ## Measure edit_cog and repack beside cp, GDAL and encoding anew: make bench-edit ARGS="--only edit"
	PYTHONPATH=tests/support:tests:. $(BIN)/python -m benchmarks.edit $(ARGS)

bench-blend: $(VENV)/.test  ## Measure CogWriter(blend=) beside accumulators of the whole scene in numpy: make bench-blend ARGS="--side-px 4000"
	PYTHONPATH=. $(BIN)/python -m benchmarks.blend $(ARGS)

bench-presets: $(VENV)/.test  ## Measure each preset beside the default: make bench-presets ARGS="--rounds 3 --only landsat"
	PYTHONPATH=. $(BIN)/python -m benchmarks.presets $(ARGS)

bench-codecs: $(VENV)/.test  ## Measure each codec, level and predictor, and draw the pictures of docs/codecs.md: make bench-codecs ARGS="--rounds 3"
	PYTHONPATH=. $(BIN)/python -m benchmarks.codecs $(ARGS)

pins:  ## Renew what requirements/ pins (needs uv)
	uv pip compile pyproject.toml --extra test --universal --python-version 3.11 \
		--no-header --no-annotate --upgrade --output-file requirements/pinned.txt
	uv pip compile pyproject.toml --extra bench --universal --python-version 3.11 --constraint requirements/pinned.txt \
		--no-header --no-annotate --upgrade --output-file requirements/bench.txt
	uv pip compile pyproject.toml --extra docs --universal --python-version 3.11 --constraint requirements/pinned.txt \
		--no-header --no-annotate --upgrade --output-file requirements/docs.txt
	uv pip compile benchmarks/spaceml.in --universal --python-version 3.11 --constraint requirements/bench.txt \
		--no-header --no-annotate --upgrade --output-file requirements/bench-spaceml.txt

clean:  ## Remove what the commands above made
	rm -rf $(NODE_MODULES) $(NGINX) $(VENV) $(VENV).identity $(BENCH) $(BENCH).identity benchmarks/.venv-spaceml-* build dist src/*.egg-info src/georeader/_codecs/_lzw*.so demo-output bench-output .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV).identity $(BENCH).identity: FORCE
	@echo '$(IDENTITY)' | cmp --silent - $@ || echo '$(IDENTITY)' > $@

$(VENV)/.made: $(VENV).identity
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "georeader-cog needs Python >= 3.11; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test ! -L $(VENV) || rm $(VENV)  # what a link leads to is another folder's
	@$(PYTHON) -m venv --clear $(VENV) || \
		{ echo "this Python cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@$(PIP) uv || true
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml requirements/pinned.txt $(BUILD)
	@echo "installing georeader-cog[demo] into $(VENV) ..."
	@$(call install,--constraint requirements/pinned.txt --editable '.[demo]')
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml requirements/pinned.txt requirements/no-deps.txt $(BUILD)
	@echo "installing georeader-cog[test] into $(VENV) ..."
	@$(call install,--constraint requirements/pinned.txt --editable '.[test]')
	@$(call install,--no-deps --requirement requirements/no-deps.txt)
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.test requirements/docs.txt
	@echo "installing the site's builder into $(VENV) ..."
	@$(call install,--requirement requirements/docs.txt)
	@touch $@

# The benchmarks have an environment of their own: what tests run in stays as small as a user's.
$(BENCH)/.made: $(BENCH).identity
	@test ! -L $(BENCH) || rm $(BENCH)
	@$(PYTHON) -m venv --clear $(BENCH) || \
		{ echo "this Python cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

$(BENCH)/.bench: $(BENCH)/.made pyproject.toml requirements/bench.txt $(BUILD)
	@echo "installing georeader-cog[bench] into $(BENCH) ..."
	@$(BENCH)/bin/python -m pip install -qq --disable-pip-version-check --constraint requirements/bench.txt \
		--editable '.[bench]'
	@touch $@

# A reader, a server, a type checker and the builder of the map page run under Node. Without npm their tests are skipped.
tests/support/foreign/node/node_modules: NODE_PACKAGE := geotiff.js and web maps
tests/support/servers/node/node_modules: NODE_PACKAGE := Azurite
tests/support/checkers/node/node_modules: NODE_PACKAGE := pyright
page/node_modules: NODE_PACKAGE := OpenLayers

$(NODE_MODULES): %/node_modules: %/package.json %/package-lock.json
	@if ! command -v npm >/dev/null; then echo "no npm: tests that need $(NODE_PACKAGE) are skipped"; \
	else echo "installing $(NODE_PACKAGE) into $@ ..."; cd $(@D) && npm ci --omit=dev --ignore-scripts --silent \
		&& touch $(@F) || echo "npm failed: tests that need $(NODE_PACKAGE) are skipped"; fi

# nginx is in no package index; Debian's is unpacked, not installed, which takes no root.
$(NGINX)/.made:
	@mkdir -p $(NGINX)
	@if PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null; then touch $@; \
	else echo "unpacking nginx into $(NGINX) ..."; \
		(cd $(NGINX) && apt-get download -qq nginx && dpkg -x nginx_*.deb . && rm nginx_*.deb && touch .made) 2>/dev/null \
		|| echo "nginx is not available: tests that need it are skipped; on Debian: apt-get install nginx-light"; fi
