# `make demo` and `make test` do all their own set-up; nothing but Python 3.11+ and make is needed.
#
#   make demo              the retail example, up for exploring; ONCE=1 ends when its ledger has settled
#   make test              everything, in three processes; JOBS=0 in one; ARGS="-k mapping -x" goes to pytest
#   make screenshots       docs/images, taken from the running demo
#   make bench             side by side with peers; ONLY=hop measures one, SAVE=1 keeps the result in bench/results
#   make faults            the bus under fire, the long form; MESSAGES=10000 for each scenario, ONLY=kills runs one,
#                          ONLY=soak MINUTES=20 PLACE=embedded (or servers) looks for what grows
#   make lint              style, types and import rules only
#
# Tests start a RabbitMQ and a PostgreSQL of their own. ESB_TEST_BROKER=amqp://… and ESB_TEST_DATABASE=postgresql://…
# name others. Their files lie in memory where there is room, else where TMPDIR says.
# The first that is one of those that all dependencies have wheels for; else python3.
pythons = $(foreach name,$(1),$(if $(shell $(name) -c 'import sys; (3, 11) <= sys.version_info$(2) and print(1)' \
	2>/dev/null),$(name)))
comma  := ,
PYTHON ?= $(firstword $(call pythons,python3 python3.13 python3.12 python3.11, < (3$(comma) 14)) $(call pythons,python3))
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
JOBS   ?= 3
ONLY   ?=
MESSAGES ?= 100000
MINUTES ?= 20
PLACE  ?= embedded
SEED   ?=
CODE   := $(wildcard esb adapters migrations mappings examples bench docs tests)
WITH   := --quiet --constraint constraints.txt
PIP    := $(BIN)/python -m pip --disable-pip-version-check install $(WITH)
UV     := $(BIN)/python -m uv pip install --native-tls --compile-bytecode $(WITH)
# uv takes a third of pip's time. pip is left for machines that have no uv, or an index set up for pip alone.
INSTALL = $(PIP) uv && $(UV) --editable '$(1)' || $(PIP) --editable '$(1)'

# Where it is set, as in many containers, every process that is started would compile its sources again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install install-test test demo screenshots bench faults lint clean
.DELETE_ON_ERROR:

install: $(VENV)/.installed

install-test: $(VENV)/.installed-test

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt | $(VENV)/.made
	@echo "installing the bus into $(VENV)" >&2
	@$(call INSTALL,.[encryption$(comma)postgresql$(comma)xml])
	@touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml constraints.txt | $(VENV)/.made
	@echo "installing the bus and what its tests need into $(VENV)" >&2
	@$(call INSTALL,.[test])
	@touch $@ $(VENV)/.installed

# Made anew when the interpreter it points to is gone.
$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name one with PYTHON=…" >&2; exit 1; }
	@command -v cc >/dev/null || $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || \
		{ echo "jsonatapy has no wheels for $(PYTHON) yet: name 3.11 to 3.13 with PYTHON=…, or install a C compiler" >&2; \
		exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
		{ echo "$(PYTHON) cannot make virtual environments (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@touch $@

test: install-test
	@tests/servers.sh
	tests/in_memory.sh $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

demo: install
	$(BIN)/esb demo $(if $(ONCE),--once)

screenshots: install-test
	$(BIN)/python docs/screenshots.py

faults: install-test
	@tests/servers.sh
	@$(BIN)/python -m tests.faults --messages $(MESSAGES) --minutes $(MINUTES) --place $(PLACE) \
		$(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED))

bench: install
	@$(BIN)/python -m bench $(subst $(comma), ,$(ONLY)) $(if $(SAVE),--save) $(ARGS)

lint: install-test
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/python -m pytest --quiet tests/architecture --ignore tests/architecture/test_wheel.py

clean:
	rm -rf $(VENV) build dist *.egg-info .demo .bench
