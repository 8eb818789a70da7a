# make run | full | test | check | bench | clean: each sets up .venv by itself, from nothing but Python 3.11 or newer, a
# C++ compiler and make.

# The first interpreter that is new enough (a command may be there and yet not run).
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python
INSTALL := $(RUN) -m pip install --disable-pip-version-check --quiet --no-deps

.PHONY: run full test check bench lock clean

ENCODER := $(RUN) -m sim --model minilm-l6 \
	--text "The lighthouse keeper wrote down the weather every evening, and in forty years he never missed a day." \
	--text "Interest rates were left unchanged on Thursday, although two members of the committee had voted for a cut." \
	--text "How do I replace the chain on a bicycle without any special tools?"
DECODER := $(RUN) -m sim --model tiny-gpt2 --prompt "And the king said unto" --tokens 32 --seed 1

# The demonstration on a part of the device: the same models and weights on smaller arrays, which are built in less time.
run: $(READY)
	$(ENCODER) --share 0.15 --threads 1
	$(DECODER) --share 0.1 --threads 1
	@echo "This was a part of the device, to be built in little time; make full shows the full size, which takes longer."

# The demonstration on the whole device.
full: $(READY)
	$(ENCODER)
	$(DECODER)

test: $(READY)
	$(RUN) -m pytest -n auto --dist worksteal

check: $(READY)
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(RUN) -m pytest -q tests/test_imports.py

bench: $(READY)
	@for file in bench/[a-z]*.py; do $(RUN) -m bench.$$(basename $$file .py) || exit 1; done

# The lock is complete, so that nothing it does not name is installed, and its hashes are checked.
# setuptools comes first: it builds the package that has no wheel, without another setuptools from outside the lock.
# The project itself is installed as it stands here, for the command spatial-llm.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found (or set PYTHON)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > $(VENV)/setuptools.lock
	$(INSTALL) --require-hashes -r $(VENV)/setuptools.lock
	$(INSTALL) --require-hashes --no-build-isolation --use-pep517 -r requirements.lock
	$(INSTALL) --no-index --no-build-isolation --editable .
	touch $@

# For whoever changes the dependencies; needs uv. What trains the small model is left out.
lock:
	uv pip compile pyproject.toml --extra models --extra gguf --extra cluster --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-annotate --upgrade --quiet --custom-compile-command "make lock" --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
