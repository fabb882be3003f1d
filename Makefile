# make demo    set up and run the main job: a talking avatar in the browser (SPEECH=file.wav, ARGS=--help)
# make test    set up and run every test, WORKERS Python tests at once (ARGS="-m 'not browser'", ARGS=tests/core: fewer)
# make coverage  the Python tests, and how much of each module they run
# make busy    the Python tests TIMES times while every processor has other work, too
# make nightly what takes longer than a change can wait for: coverage, fuzzing, every level of kernels, a hundred kills, ten times busy
# make bench   measure (ARGS="--quick render_offline")
# make lint    ruff, mypy, the stubs
# make sanitize  the C tests under AddressSanitizer and UBSan
# make tsan    the C tests of what threads share, under ThreadSanitizer
# make asan-python  the Python tests that drive the extension, under AddressSanitizer
# make checkasm  the vector kernels against plain C (ARGS="--bench [NAME]": and how fast they are)
# make fuzz    the fuzz targets, SECONDS_EACH=60 each (clang)
# make arm     the C tests on arm64: cross compiler and qemu
# make docs    the documentation as a site, in build/site; a link that leads nowhere fails it
# make wheel   a repaired manylinux wheel in build/wheel, tested in a clean environment (docs/release.md)
# make agora-smoke APP_ID=... CERT=... CHANNEL=...   into a real Agora channel and back, with a verdict (docs/agora.md)
# make clean   remove everything that was built

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := pyproject.toml lipsync/pyproject.toml CMakeLists.txt $(wildcard csrc/*.c csrc/*.h csrc/*/*.c csrc/*/*.h csrc/*/*/*.h src/* src/*/*)
CBUILD := build/c
STEP := sh tools/step.sh
SECONDS_EACH ?= 60
TSAN_TESTS := test_speech test_engine test_share test_threads test_net_threads
# Tests of what the binding does.
ASAN_TESTS := tests/core tests/audio/test_g711.py tests/audio/test_opus.py
space := $(subst ,, )
TIMES ?= 1
# Tests wait for real time more than they compute, so there are more of them at once than processors.
WORKERS ?= $(shell expr 3 '*' $$(nproc))
# Ubuntu's chromium package is a snap that a container cannot run: there, install Chrome or Chromium by hand.
BROWSER := $(firstword $(shell command -v chromium chromium-browser google-chrome 2>/dev/null))

.PHONY: demo test ctest checkasm pytest coverage busy nightly bench lint sanitize tsan asan-python fuzz arm docs wheel agora-smoke clean

demo: $(VENV)/.demo
	$(BIN)/lipwire demo $(if $(SPEECH),--speech "$(SPEECH)") $(ARGS)

test: ctest pytest

ctest: $(VENV)/.packages
	$(BIN)/cmake -S . -B $(CBUILD) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	  -DLIPWIRE_TESTS=ON -DLIPWIRE_WERROR=ON >/dev/null
	$(BIN)/cmake --build $(CBUILD)
	$(BIN)/ctest --test-dir $(CBUILD) --output-on-failure -j $$(nproc)

checkasm: ctest
	$(CBUILD)/checkasm $(ARGS)

pytest: $(VENV)/.test
	sh tools/system_packages.sh curl=curl node=nodejs nats-server=nats-server systemd-analyze=systemd $(if $(BROWSER),,chromium=chromium)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup $(ARGS)

coverage:
	$(MAKE) pytest ARGS="--cov --cov-report=term $(ARGS)"

# The suite while every processor has other work, too.
busy: $(VENV)/.test
	for n in $$(seq $(TIMES)); do $(BIN)/python tools/busy.py $(MAKE) pytest ARGS="$(ARGS)" || exit 1; done

# What takes longer than a change can wait for.
nightly: $(VENV)/.test
	$(MAKE) coverage
	$(MAKE) fuzz SECONDS_EACH=1800
	for level in $$($(BIN)/python -c 'from lipwire import _core; print(*_core.cpu_levels())'); do \
	  echo "== kernels: $$level"; LIPWIRE_CPU=$$level $(MAKE) pytest || exit 1; done
	LIPWIRE_KILLS=100 $(MAKE) pytest ARGS=tests/e2e/test_killed_server.py
	$(MAKE) busy TIMES=10

bench: $(VENV)/.bench
	$(BIN)/python bench/run.py $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/python -m mypy.stubtest lipwire._core --allowlist tests/stubtest_allowlist.txt

sanitize: $(VENV)/.packages
	$(BIN)/cmake -S . -B $(CBUILD)-san -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	  -DLIPWIRE_TESTS=ON -DLIPWIRE_WERROR=ON -DCMAKE_BUILD_TYPE=Debug \
	  -DCMAKE_C_FLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" >/dev/null
	$(BIN)/cmake --build $(CBUILD)-san
	$(BIN)/ctest --test-dir $(CBUILD)-san --output-on-failure -j 2

# ThreadSanitizer wants the memory layout that it knows: without randomisation, where that may be switched off. It knows
# nothing of fences; the tests of share.c say what they do about that.
tsan: $(VENV)/.packages
	$(BIN)/cmake -S . -B $(CBUILD)-tsan -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	  -DLIPWIRE_TESTS=ON -DLIPWIRE_WERROR=ON -DCMAKE_BUILD_TYPE=Debug -DLIPWIRE_LEVELS=c -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON \
	  -DCMAKE_C_FLAGS="-O2 -g -fno-omit-frame-pointer -fsanitize=thread -Wno-error=tsan -Wno-tsan" >/dev/null
	$(BIN)/cmake --build $(CBUILD)-tsan --target $(TSAN_TESTS)
	TSAN_OPTIONS="halt_on_error=0 exitcode=66 second_deadlock_stack=1" \
	  $$(setarch -R true 2>/dev/null && echo setarch -R) $(BIN)/ctest --test-dir $(CBUILD)-tsan --output-on-failure -j 2 \
	  --tests-regex "^($(subst $(space),|,$(TSAN_TESTS)))[.]c$$"

# A virtual environment of its own, which finds the packages of the other one but not its lipwire. Python and its libraries
# keep memory until the end, so leaks are not looked for; libstdc++ is there for libraries that throw through ASan.
ASAN_VENV := build/asan-python
asan-python: $(VENV)/.test
	test -x $(ASAN_VENV)/bin/python || $(BIN)/python -m venv $(ASAN_VENV)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))' \
	  >"$$($(ASAN_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/packages.pth"
	$(ASAN_VENV)/bin/python -m pip install --quiet --no-deps --force-reinstall . \
	  --config-settings=build-dir=$(CBUILD)-asan-python --config-settings=install.strip=false \
	  --config-settings=cmake.build-type=Debug \
	  --config-settings=cmake.define.CMAKE_C_FLAGS="-O1 -g1 -fno-omit-frame-pointer -fsanitize=address"
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so.6)" PYTHONMALLOC=malloc \
	  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1 \
	  $(ASAN_VENV)/bin/python -m pytest -q -p no:cacheprovider -n 2 --dist loadgroup $(ASAN_TESTS)

# Each target: what it knows from earlier runs (build/fuzz/NAME), then random input for SECONDS_EACH.
fuzz: $(VENV)/.test
	sh tools/system_packages.sh clang=clang
	sh tools/system_packages.sh "$$(clang -print-resource-dir)/lib/linux/libclang_rt.fuzzer-$$(uname -m).a=libclang-rt-$$(clang -dumpversion | cut -d. -f1)-dev"
	$(BIN)/cmake -S . -B build/fuzz -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja -DCMAKE_C_COMPILER=clang \
	  -DLIPWIRE_FUZZ=ON -DCMAKE_BUILD_TYPE=Debug \
	  -DCMAKE_C_FLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" >/dev/null
	$(BIN)/cmake --build build/fuzz
	$(BIN)/python tests/fuzz/webrtc.py $(SECONDS_EACH) & webrtc=$$!; \
	$(BIN)/python tests/fuzz/ingest_differential.py $(SECONDS_EACH) & differential=$$!; \
	PYTHONPATH=tests $(BIN)/python -m fuzz.wire $(SECONDS_EACH) & wire=$$!; \
	ls -d build/fuzz/fuzz_* | grep -v '[.]\|-corpus' | xargs -P 3 -I TARGET sh -c 'mkdir -p TARGET-corpus && \
	  TARGET -max_total_time=$(SECONDS_EACH) -print_final_stats=1 -verbosity=0 TARGET-corpus >TARGET.log 2>&1; rc=$$?; \
	  echo "== TARGET"; if [ $$rc = 0 ]; then grep -E "executed_units|peak_rss" TARGET.log; else cat TARGET.log; fi; exit $$rc' \
	  && wait $$webrtc && wait $$differential && wait $$wire

# arm64 in user-mode emulation: the same tests, the NEON kernels.
arm: $(VENV)/.packages
	sh tools/system_packages.sh aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu qemu-aarch64=qemu-user \
	  /usr/aarch64-linux-gnu/include/stdio.h=libc6-dev-arm64-cross
	$(BIN)/cmake -S . -B build/arm -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc \
	  -DCMAKE_CROSSCOMPILING_EMULATOR="qemu-aarch64;-L;/usr/aarch64-linux-gnu" -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON \
	  -DLIPWIRE_TESTS=ON -DLIPWIRE_WERROR=ON "-DLIPWIRE_LEVELS=c;neon" >/dev/null
	$(BIN)/cmake --build build/arm
	$(BIN)/ctest --test-dir build/arm --output-on-failure -j 2

docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "build/site/index.html"

# The tag that auditwheel gives says which glibc the wheel needs: that of this machine, where it was compiled.
wheel: $(VENV)/.test
	rm -rf build/wheel build/wheel-test
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel/raw .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --wheel-dir build/wheel build/wheel/raw/lipwire-*.whl
	rm -r build/wheel/raw
	$(BIN)/python -m venv build/wheel-test
	build/wheel-test/bin/python -m pip install --quiet "$$(ls build/wheel/lipwire-*.whl)[demo]"
	cd build/wheel-test && bin/python -I $(abspath tools/wheel_check.py)
	@ls -l build/wheel/lipwire-*.whl

# The SDK downloads its native library when it is installed, and again when it is first imported.
agora-smoke: $(VENV)/.demo
	$(if $(and $(APP_ID),$(CERT),$(CHANNEL)),,$(error APP_ID, CERT and CHANNEL are needed))
	$(BIN)/python -m pip install --quiet --editable '.[demo,agora]'
	$(BIN)/python -c 'import agora.rtc'
	@AGORA_APP_ID=$(APP_ID) AGORA_APP_CERTIFICATE=$(CERT) $(BIN)/python tools/agora_smoke.py $(CHANNEL) $(ARGS)

$(BIN)/python:
	sh tools/system_packages.sh $(PYTHON)=python3 cc=gcc
	$(PYTHON) -c 'import sys; sys.exit("Lipwire needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh tools/system_packages.sh ensurepip=python3-venv
	@$(STEP) "1 a Python environment in $(VENV)" "about 5 s" $(PYTHON) -m venv $(VENV)
	@$(STEP) "2 its installer" "about 5 s" $(BIN)/python -m pip install --quiet --upgrade pip
	sh tools/system_packages.sh "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h=python3-dev"

# Editable, so that `pip install --editable '.[agents]'` adds to it, and what is changed here works at once.
$(VENV)/.demo: $(BIN)/python $(NATIVE)
	@$(BIN)/python tools/packages.py demo >$(VENV)/packages
	@$(STEP) "3 packages from PyPI" "10 to 60 s" $(BIN)/python -m pip install --quiet --requirement $(VENV)/packages
	@$(STEP) "4 the C core, which is compiled" "1 to 2 minutes" $(BIN)/python -m pip install --quiet --editable '.[demo]'
	@$(STEP) "5 models that hear, speak and take turns, and what runs them, 180 MB" "15 to 90 s" $(BIN)/python tools/offline.py
	@touch $@

# The packages of the tests, and the tools that compile and test the C core.
$(VENV)/.packages: $(BIN)/python pyproject.toml
	@$(BIN)/python tools/packages.py test >$(VENV)/packages
	@$(STEP) "3 packages from PyPI, those of the tests among them" "1 to 3 minutes" $(BIN)/python -m pip install --quiet --requirement $(VENV)/packages
	@touch $@

$(VENV)/.test: $(VENV)/.packages $(NATIVE)
	@$(STEP) "4 the C core, which is compiled" "1 to 2 minutes" $(BIN)/python -m pip install --quiet --editable '.[test]' --editable ./lipsync
	$(BIN)/python -m pip install --quiet --no-deps pipecat-ai==1.14.0 # for the model in it; nothing that it needs is wanted
	@touch $@ $(VENV)/.demo

# The peers that figures are paired with; each is optional to the benchmarks themselves.
$(VENV)/.bench: $(VENV)/.test
	@$(BIN)/python tools/packages.py bench >$(VENV)/packages
	$(BIN)/python -m pip install --quiet --requirement $(VENV)/packages
	@touch $@

clean:
	rm -rf $(VENV) build
