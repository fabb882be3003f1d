# make demo    set up and run the main job: a talking avatar in the browser (SPEECH=file.wav, ARGS=--help)
# make test    set up and run every test
# make bench   measure (ARGS="--quick render_offline")
# make lint    ruff, mypy, the stubs
# make sanitize  the C tests under AddressSanitizer and UBSan
# make clean   remove everything that was built

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := pyproject.toml CMakeLists.txt $(wildcard csrc/*.c csrc/*.h src/*)
CBUILD := build/c
# Ubuntu's chromium package is a snap that a container cannot run: there, install Chrome or Chromium by hand.
BROWSER := $(firstword $(shell command -v chromium chromium-browser google-chrome 2>/dev/null))

.PHONY: demo test ctest pytest bench lint sanitize clean

demo: $(VENV)/.demo
	$(BIN)/lipwire demo $(if $(SPEECH),--speech "$(SPEECH)") $(ARGS)

test: ctest pytest

ctest: $(VENV)/.test
	$(BIN)/cmake -S . -B $(CBUILD) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	  -DLIPWIRE_TESTS=ON -DLIPWIRE_WERROR=ON >/dev/null
	$(BIN)/cmake --build $(CBUILD)
	$(BIN)/ctest --test-dir $(CBUILD) --output-on-failure

pytest: $(VENV)/.test
	$(if $(BROWSER),,sh tools/system_packages.sh chromium=chromium)
	$(BIN)/python -m pytest -q $(ARGS)

bench: $(VENV)/.test
	$(BIN)/python bench/run.py $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest lipwire._core --allowlist tests/stubtest_allowlist.txt

sanitize: $(VENV)/.test
	$(BIN)/cmake -S . -B $(CBUILD)-san -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	  -DLIPWIRE_TESTS=ON -DLIPWIRE_WERROR=ON -DCMAKE_BUILD_TYPE=Debug \
	  -DCMAKE_C_FLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" >/dev/null
	$(BIN)/cmake --build $(CBUILD)-san
	$(BIN)/ctest --test-dir $(CBUILD)-san --output-on-failure

$(BIN)/python:
	sh tools/system_packages.sh $(PYTHON)=python3 cc=gcc
	$(PYTHON) -c 'import sys; sys.exit("Lipwire needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh tools/system_packages.sh ensurepip=python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	sh tools/system_packages.sh "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h=python3-dev"

$(VENV)/.demo: $(BIN)/python $(NATIVE)
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(BIN)/python $(NATIVE)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build
