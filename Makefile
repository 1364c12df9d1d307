# Synthetic Contrast: `make help` lists the commands. README.md has the plain ones, for those without make.

VENV     ?= .venv
PIP_ARGS ?=
# The first interpreter that is new enough; set PYTHON to choose another.
PYTHON   ?= $(shell for p in python3 python python3.13 python3.12 python3.11; do \
                $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN      := $(VENV)/bin
PY       := $(BIN)/python
STAMP    := $(VENV)/.requirements-installed
# Other people's versions: Colab's (on its Python 3.13 where there is one), and the newest.
COLAB    := .venv-colab
NEWEST   := .venv-newest
# A program that asks links of the web, of which nothing else here has need.
LINKS    := .venv-links
COLAB_PYTHON ?= $(shell for p in python3.13 $(HOME)/.pyenv/versions/3.13*/bin/python $(PYTHON); do \
                      $$p -c '' 2>/dev/null && echo $$p && break; done)
# The core of the package's tests: the kernels, PPO, the widgets, and what the first cell says.
CORE     := $(patsubst %,tests/test_%.py,losses rewards ranking_losses curation decoding ppo viz preflight)
CORE_RUN := -m pytest -q -n 2 --dist loadgroup -m "not slow and not browser" $(CORE)

export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.DEFAULT_GOAL := help
.PHONY: help venv book student-wheel pdf epub release slides test test-colab test-colab-core test-newest browser notebooks pocket field field-judges ledger mutants lint links screenshot clean distclean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1|\2/' | \
	  while IFS='|' read -r name text; do printf '%-22s %s\n' "$$name" "$$text"; done
	@echo "  PIP_ARGS='…'     options for pip, e.g. the index of PyTorch's CPU builds (see README.md)"

# synthlib/__init__.py has the version, which the notebooks compare with the installed one.
$(STAMP): requirements.in constraints.txt pyproject.toml synthlib/__init__.py
	@if [ -z "$(PYTHON)" ]; then echo "No Python >= 3.11 found: install one, or run make PYTHON=/path/to/python3" >&2; exit 1; fi
	@if [ ! -x $(PY) ]; then echo "creating $(VENV)"; $(PYTHON) -m venv $(VENV); fi
	$(PY) -m pip install -q $(PIP_ARGS) -r requirements.in -c constraints.txt
	$(PY) -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

venv: $(STAMP)  ## create .venv with the pinned packages, where it is absent or older than the pins

book: $(STAMP)  ## execute all chapters on the pocket tier and build the site: _build/html/index.html (EDITION=student: without solutions, _build/student)
	$(PY) book/_ext/make_book.py $(if $(EDITION),--edition $(EDITION))

student-wheel: $(STAMP)  ## the package without the references of the checks: _build/student-wheel/
	$(PY) book/_ext/student_wheel.py

# A file's tests run in one process, so that what they share is made once; files in their order, for
# the last ones are short.
test: $(STAMP)  ## run all tests (those in the browser need the built book, else they are skipped)
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

$(COLAB)/.requirements-installed: tests/constraints-colab.txt pyproject.toml synthlib/__init__.py
	@if [ ! -x $(COLAB)/bin/python ]; then echo "creating $(COLAB)"; $(COLAB_PYTHON) -m venv $(COLAB); fi
	$(COLAB)/bin/python -m pip install -q $(PIP_ARGS) -c tests/constraints-colab.txt hatchling editables
	$(COLAB)/bin/python -m pip install -q $(PIP_ARGS) -c tests/constraints-colab.txt --no-build-isolation \
	  -e '.[dev]' ipykernel ipython torchao
	@touch $@

test-colab-core: $(COLAB)/.requirements-installed  ## run the core of the tests with Colab's versions
	$(COLAB)/bin/python -m pytest -q -m "not slow" tests/test_colab.py
	$(COLAB)/bin/python $(CORE_RUN)

test-colab: test-colab-core  ## the same, and five notebooks as in Colab
	$(COLAB)/bin/python -m pytest -q -m slow tests/test_colab.py

test-newest:  ## run the core of the tests with the newest versions of all packages
	@if [ ! -x $(NEWEST)/bin/python ]; then echo "creating $(NEWEST)"; $(PYTHON) -m venv $(NEWEST); fi
	$(NEWEST)/bin/python -m pip install -q $(PIP_ARGS) -U hatchling editables
	$(NEWEST)/bin/python -m pip install -q $(PIP_ARGS) -U --upgrade-strategy eager \
	  --no-build-isolation -e '.[dev]' ipykernel
	$(NEWEST)/bin/python $(CORE_RUN)

pdf: $(STAMP)  ## print the built book (built first where it is not): _build/book.pdf
	@test -f _build/html/index.html || $(PY) book/_ext/make_book.py
	@test -d _build/browser/node_modules/playwright-core || $(PY) tests/browser/browser.py install
	$(PY) book/_ext/make_pdf.py

epub: $(STAMP)  ## the built book (built first where it is not) for an e-reader: _build/book.epub
	@test -f _build/html/index.html || $(PY) book/_ext/make_book.py
	$(PY) book/_ext/make_epub.py

release: pdf epub  ## what a release hands out (site, notebooks, PDF, EPUB, wheel, sums): _build/release/
	$(PY) book/_ext/make_release.py

slides: $(STAMP)  ## slides to teach from, a deck a part, from the built book: _build/slides/index.html (PDF=1: each on paper, too)
	$(PY) book/_ext/make_slides.py $(if $(PDF),--pdf)

browser: $(STAMP)  ## run the tests of the built book in a headless Chromium
	@test -d _build/browser/node_modules/axe-core || $(PY) tests/browser/browser.py install
	$(PY) -m pytest -m browser tests/test_browser.py tests/test_light_pages.py tests/test_pdf.py tests/test_slides.py

notebooks: $(STAMP)  ## regenerate notebooks/ from book/chapters/
	$(PY) book/_ext/editions.py

pocket: $(STAMP)  ## retrain the small models in data/pocket/
	$(PY) -m synthlib pocket

field: $(STAMP)  ## record what real models say, into data/field/recorded/ (make field DATA=folder for all)
	$(PY) -m synthlib models get laptop
	$(PY) -m synthlib field $(if $(DATA),--data "$(DATA)")

field-judges: $(STAMP)  ## train the NLI judges of real language: make field-judges DATA=folder-with-nli
	@if [ -z "$(DATA)" ]; then echo "labelled pairs are wanted: make field-judges DATA=a folder with nli/snli and nli/mnli in it" >&2; exit 2; fi
	$(PY) -m synthlib field-judges --data "$(DATA)"

ledger: $(STAMP)  ## measure the figures over several seeds again, into data/ledger/
	$(PY) -m synthlib ledger

mutants: $(STAMP)  ## which mechanical changes of the solutions the checks of the exercises accept
	$(PY) tests/mutants.py

lint: $(STAMP)  ## check the style of all code, and the spelling
	$(BIN)/ruff check .
	$(BIN)/codespell

links: book  ## ask every link that leads out of the book whether it is still there (needs the network)
	@if [ ! -x $(LINKS)/bin/linkchecker ]; then $(PYTHON) -m venv $(LINKS) && $(LINKS)/bin/python -m pip install -q $(PIP_ARGS) 'linkchecker>=10.6,<11'; fi
	$(LINKS)/bin/linkchecker --check-extern --no-status $(abspath _build/html/index.html)

screenshot: $(STAMP)  ## take the README's picture from the built book
	$(PY) tests/browser/browser.py screenshot

clean:  ## remove what was built (keeps .venv)
	rm -rf _build dist data/ledger/live .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

distclean: clean  ## remove .venv too, and those of the other versions
	rm -rf $(VENV) $(COLAB) $(NEWEST)
