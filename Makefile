.PHONY: help run test extras space lint types bench load lock drawing

help: ## list what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

run: ## serve the page on http://127.0.0.1:7860
	pip install -q -r requirements.txt && python app.py

test: ## run all tests
	pip install -q -r requirements-dev.txt && pytest

extras: ## try the extras that the tests do without, each in an environment of its own
	python3 -m venv .venv-auto-round
	.venv-auto-round/bin/pip install -q -r requirements-dev.txt -e ".[auto-round]"
	.venv-auto-round/bin/python -m tools.sweep_all --schemes auto-round-int4
	python3 -m venv .venv-lpips
	.venv-lpips/bin/pip install -q -r requirements-dev.txt -e ".[lpips]"
	.venv-lpips/bin/pytest -n 0 tests/extras/check_*.py

space: ## run the tests on Python 3.12 with the versions that a Space installs
	python3.12 -m venv .venv-3.12 && .venv-3.12/bin/pip install -q -r requirements-dev.txt -c constraints.txt
	.venv-3.12/bin/pytest --ignore=tests/browser

lint: ## look for mistakes and form
	ruff check . && ruff format --check . && python -m tools.architecture --check

types: ## check types
	mypy

bench: ## measure what the README says; wants a quiet machine
	python -m benchmarks.startup && python -m benchmarks.pick && python -m benchmarks.prediction
	python -m benchmarks.latency && python -m benchmarks.image && python -m benchmarks.page

load: ## measure what many visitors, a flood, a busy neighbour and a slow line do; as bench
	python -m benchmarks.load && python -m benchmarks.load --sessions 1 --rounds 40
	python -m benchmarks.flood && python -m benchmarks.neighbour && python -m benchmarks.endurance
	python -m benchmarks.slow_line

lock: ## renew constraints.txt, the versions that a Space installs
	python -m tools.constraints

drawing: ## renew the drawing of docs/ARCHITECTURE.md
	python -m tools.architecture
