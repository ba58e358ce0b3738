# `make help` lists the targets. Each sets up what it needs on first use, inside this checkout.

.DEFAULT_GOAL := help
.PHONY: help demo test check install uninstall lint clean distclean

python := .venv/bin/python

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 12

# One plain command per line: make then runs it without a shell in between, and a signal that ends
# make reaches the demo itself, which cleans up.
demo:  ## train for 3 epochs from a mounted bucket on this machine, and plot the step times
	@scripts/setup.sh demo
	@$(python) -I -m cloudfs_benchmarks.demo

test:  ## ruff, mypy and every test
	@scripts/setup.sh dev
	@lint=0; $(MAKE) --no-print-directory lint || lint=1; $(python) -m pytest -n 2 --dist loadgroup && exit $$lint

check:  ## ruff, mypy and the quick tests, in under 3 minutes
	@scripts/setup.sh dev
	@lint=0; $(MAKE) --no-print-directory lint || lint=1; \
	$(python) -m pytest -n 2 --dist loadgroup -m "not slow" && exit $$lint

install:  ## install for the whole machine, as root: PREFIX=/usr/local, DESTDIR=
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" scripts/install.sh install

uninstall:  ## remove the files of `make install`
	@PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" scripts/install.sh uninstall

# Pytest runs even if lint fails, and its summary comes last: one run shows every problem.
lint:
	@$(python) -m ruff check
	@$(python) -m ruff format --check
	@$(python) -m mypy --strict

clean:  ## remove build results, plots and caches of tools
	rm -rf build dist demo-out bench-out cloudfs-bench-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean  ## clean, and remove the virtual environment and the stamps
	rm -rf .venv .setup
