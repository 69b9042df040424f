# `make demo` and `make test` do all their own set-up; nothing but Python 3.11+ and make is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

.PHONY: install install-test demo test lint clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[postgresql]'
	touch $@

install-test: $(VENV)/.installed-test

$(VENV)/.installed-test: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@ $(VENV)/.installed

test: install-test
	tests/servers.sh
	$(BIN)/python -m pytest $(ARGS)

demo: install
	$(BIN)/esb demo $(if $(ONCE),--once)

lint: install-test
	$(BIN)/ruff check esb adapters migrations tests examples
	$(BIN)/ruff format --check esb adapters migrations tests examples

clean:
	rm -rf $(VENV) build dist *.egg-info .demo
