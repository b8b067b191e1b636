# make demo       a simulated machine, crashed and read    make bench  the speed figures
# make test       the tests, on the built wheel            make lock   renew requirements
# make test-full  every case, and four times the examples  make clean  remove what is made here
#                 (EXAMPLES=random: others each time)
# make check      style, types, layers
# make docs       the documentation, into build/docs, and man pages into build/man
# make lab        real kernels in QEMU, crashed and compared; MATRIX=all for every machine
# make corpus     the fixtures of tests/corpus, made anew from the lab
# make packages   Debian's, an RPM and conda's, with those tools that are here
# make userland   Debian's Python for ppc64le, in which make test-full then tries the package
#
# Each sets up what it needs in .venv; nothing else has to be installed but Python 3.11 or later.

PYTHON ?= python3
BIN := .venv/bin
SOURCES := $(shell find src compiled -type f -not -name '*.so' -not -name '*.pyc') pyproject.toml README.md LICENSE

# Types in tests are checked, but fixtures need not be annotated.
RELAXED := --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls --allow-any-generics

# Machines of lab/matrix.toml: a set (few, ci, all) or names with commas between them.
MATRIX ?= few

.PHONY: demo test test-full chromium check docs bench lab corpus packages userland lock clean
.DELETE_ON_ERROR:

demo: .venv/.wheel
	@$(BIN)/vmemmap demo --keep build/demo

# The plugins by name: of a distribution that pytest finds itself it rewrites every module.
PYTEST := $(BIN)/python -m pytest --disable-plugin-autoload -p xdist -p hypothesispytest -p vmemmap

# As many workers as there are processors; a test file stays with one of them.
WORKERS := -n auto --dist loadfile

test: .venv/.wheel
	$(PYTEST) $(WORKERS)

# Examples of properties: the same ones every time, or random.
EXAMPLES ?= full

test-full: .venv/.tools .venv/.wheel chromium
	$(PYTEST) $(WORKERS) -m '' --hypothesis-profile $(EXAMPLES)

# It opens the pages of `vmemmap report`; where it cannot be had those tests are skipped.
chromium:
	@command -v chromium > /dev/null || { \
	    [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && echo "installing chromium" && \
	    apt-get -q update > /dev/null && DEBIAN_FRONTEND=noninteractive \
	    apt-get -q -y install --no-install-recommends chromium > /dev/null; } || \
	    echo "chromium is absent: the pages of vmemmap report are not tried in a browser"

check: .venv/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --exclude lab/checks src tools lab
	$(BIN)/mypy $(RELAXED) tests bench lab/checks
	$(BIN)/python -m pytest -q tests/test_layers.py

# Warnings are errors. What the documentation's own tools need lies beside the rest in .venv.
docs: .venv/.docs
	@$(BIN)/vmemmap demo --keep build/demo > /dev/null
	$(BIN)/sphinx-build -q -W -b html docs build/docs
	$(BIN)/sphinx-build -q -W -b man docs build/man
	@echo "build/docs/index.html"

bench: .venv/.tools .venv/.wheel
	PYTHONPATH=tests:bench $(BIN)/python bench/run.py

# LAB takes further options: see python -m lab --help.
lab: .venv/.wheel
	@PYTHONPATH=tools:tests $(BIN)/python -m lab $(MATRIX) $(LAB)

corpus: .venv/.wheel
	@PYTHONPATH=tools:tests $(BIN)/python -m lab.corpus

packages: .venv/.tools
	@$(BIN)/python tools/packages.py

# With a cross compiler, where it can be had, the compiled module is tried there, too.
userland: .venv/.tools
	@command -v powerpc64le-linux-gnu-gcc > /dev/null || { \
	    [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && echo "installing a cross compiler" && \
	    apt-get -q update > /dev/null && DEBIAN_FRONTEND=noninteractive apt-get -q -y install \
	    --no-install-recommends qemu-user-static gcc-powerpc64le-linux-gnu libc6-dev-ppc64el-cross \
	    > /dev/null; } || true
	@PYTHONPATH=tools:tests $(BIN)/python -m lab.userland

lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	    --group test pyproject.toml -o requirements/test.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	    --group dev --constraints requirements/test.txt pyproject.toml -o requirements/dev.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	    --group docs --constraints requirements/dev.txt pyproject.toml -o requirements/docs.txt

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# What the tests need, in the locked versions.
.venv/.tests: requirements/test.txt
	@echo "setting up .venv (once; about a quarter of a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vmemmap needs Python 3.11 or later")'
	@rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes \
	    -r requirements/test.txt
	@touch $@

# The other tools and libraries.
.venv/.tools: .venv/.tests requirements/dev.txt
	@echo "setting up the other tools in .venv (once; about a quarter of a minute)"
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes \
	    -r requirements/dev.txt
	@touch $@

# The package itself, as the wheel that users install; tests never see src/.
.venv/.wheel: .venv/.tests $(SOURCES)
	@rm -rf dist
	@$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation \
	    --wheel-dir dist .
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --force-reinstall \
	    dist/vmemmap-*.whl
	@touch $@

.venv/.docs: .venv/.wheel requirements/docs.txt
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes \
	    -r requirements/docs.txt
	@touch $@
