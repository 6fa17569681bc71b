#!/usr/bin/env bash
# Every verb of the workshop. `./run.sh help` lists them; the Makefile only names them.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
state="${BAKEHOUSE_STATE:-$root/.bakehouse}"
venv="$root/.venv"
lock="$root/requirements.lock"

main() {
  local verb=${1:-help}
  [ $# -eq 0 ] || shift
  case $verb in
    setup | env | demo | up | test | pytest | unit | lint | types | format | bench | bench-gitops | lock | programs | infra-test | clean | help) "verb_$verb" "$@" ;;
    *) fail "run.sh has no verb '$verb'. ./run.sh help lists them." ;;
  esac
}

verb_help() { # List the verbs.
  echo "usage: ./run.sh VERB [ARGUMENTS]"
  echo
  sed -n 's/^verb_\([a-z-]*\)() { # \(.*\)$/  \1|\2/p' "$root/run.sh" | sort | awk -F'|' '{ printf "%-10s %s\n", $1, $2 }'
}

verb_setup() { # Make or update .venv from requirements.lock, hashes checked. Quick when nothing changed.
  local python stamp="$venv/.bakehouse-setup" wanted
  # A moved checkout needs a new environment: the programs in the old one start by its former path.
  if ! "$venv/bin/python" -c "$supported" 2>/dev/null || { [ -f "$stamp" ] && [ "$(tail -n 1 "$stamp")" != "$venv" ]; }; then
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear "$venv" || fail "$python can't make a virtual environment. On Debian: apt-get install python3-venv."
  fi
  wanted=$(cat "$lock" "$root/pyproject.toml" "$root/run.sh" | digest; printf '%s\n' "$venv")
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    return
  fi
  rm -f "$stamp"
  say "installing what requirements.lock pins"
  install_lock
  in_venv python -m pip install --quiet --no-deps --no-build-isolation --editable "$root"
  hook_activation
  printf '%s\n' "$wanted" >"$stamp"
  say "ready: . .venv/bin/activate"
}

verb_env() { # Print the settings that keep all state under .bakehouse and telemetry off, for `eval`.
  # ZenML takes a folder with .zen in it for a repository; here it follows the state, not the checkout.
  mkdir -p "$state/zenml/.zen"
  local quote="'" escaped="'\\''"
  local state=${state//$quote/$escaped} root=${root//$quote/$escaped}
  printf "export %s='%s'\n" \
    ZENML_CONFIG_PATH "$state/zenml" \
    ZENML_REPOSITORY_PATH "$state/zenml" \
    ZENML_CUSTOM_SOURCE_ROOT "$root" \
    ZENML_ANALYTICS_OPT_IN false \
    ZENML_AUTO_OPEN_DASHBOARD false \
    MLFLOW_DISABLE_TELEMETRY true \
    BENTOML_HOME "$state/bentoml" \
    BENTOML_DO_NOT_TRACK true \
    DVC_NO_ANALYTICS true \
    DVC_GLOBAL_CONFIG_DIR "$state/dvc" \
    DVC_SITE_CACHE_DIR "$state/dvc/site" \
    GX_ANALYTICS_ENABLED false \
    FEAST_USAGE False \
    HYPOTHESIS_STORAGE_DIRECTORY "$state/cache/hypothesis" \
    ORT_DISABLE_TELEMETRY 1 \
    SKB_DATA_DIRECTORY "$state/cache/skrub" \
    DO_NOT_TRACK 1 \
    MPLBACKEND Agg \
    MPLCONFIGDIR "$state/cache/matplotlib" \
    PRE_COMMIT_HOME "$state/cache/pre-commit" \
    UV_CACHE_DIR "${UV_CACHE_DIR:-$state/cache/uv}" \
    PIP_CACHE_DIR "${PIP_CACHE_DIR:-$state/cache/pip}"
}

verb_demo() { # Take real orders the whole way: train, release, promote, answer, roll back.
  verb_setup
  enter_venv
  exec python -m tools.demo "$@"
}

verb_up() { # Start the MLflow UI and the staging and production services in the foreground; Ctrl-C stops them.
  verb_setup
  enter_venv
  exec python -m tools.up "$@"
}

verb_test() { # Run everything that must hold: lint, types, contracts, then unit, integration and end-to-end tests.
  verb_lint
  verb_types
  verb_pytest "$@"
}

verb_pytest() { # Run the tests alone on every core, coverage measured; arguments go to pytest.
  verb_setup
  say "pytest"
  # What is asked of the whole can't be asked of a part.
  [ $# -gt 0 ] || set -- --cov-fail-under=85
  # Unbuffered, so that a log that is being written shows how far the tests are.
  in_venv python -u -m pytest --numprocesses=logical --maxprocesses=4 --no-loadscope-reorder \
    --cov --cov-report="xml:$state/coverage/coverage.xml" --cov-report="json:$state/coverage/coverage.json" "$@"
}

verb_unit() { # Run the quick tests only: conventions and unit.
  verb_setup
  in_venv pytest tests/conventions tests/unit "$@"
}

verb_lint() { # Check style, imports' contracts, shell scripts and workflows.
  verb_setup
  local scripts=(run.sh .ci/run)
  say "ruff"
  in_venv ruff check .
  in_venv ruff format --check .
  say "import contracts"
  in_venv lint-imports --no-cache --no-logo
  say "shellcheck"
  in_venv shellcheck "${scripts[@]}"
  say "zizmor"
  in_venv zizmor --offline --quiet .github
  say "actionlint"
  if has actionlint; then
    in_venv actionlint
  else
    echo "skipped: actionlint is not installed"
  fi
}

verb_types() { # Check types: mypy, strict.
  verb_setup
  say "mypy"
  in_venv mypy
}

verb_format() { # Rewrite the code as ruff wants it.
  verb_setup
  in_venv ruff check --fix .
  in_venv ruff format .
}

verb_bench() { # Measure the figures that the design promises; print them and write them as JSON under .bakehouse/bench.
  verb_setup
  enter_venv
  exec python -m tests.benchmarks "$@"
}

verb_bench-gitops() { # Measure git and Argo CD alone: commands on 10,000 releases, syncs and reverts up to 200 applications.
  verb_bench "$@" gitops argocd
}

verb_lock() { # Resolve requirements.in into requirements.lock again, keeping the pins that still fit.
  verb_setup
  in_venv uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --output-file "$lock" "$root/requirements.in"
}

verb_programs() { # Install the optional programs that some checks ask for, where this machine can; none is asked for twice.
  verb_setup
  if ! has actionlint && has go; then
    say "actionlint"
    GOBIN="$state/bin" GOPATH="$state/cache/go" GOCACHE="$state/cache/go-build" GOFLAGS=-modcacherw \
      go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 || say "actionlint could not be installed"
  fi
  install_checkov
  install_packages wrk jq chromium nodejs redis-server prometheus prometheus-alertmanager \
    buildah skopeo docker-registry \
    containerd runc containernetworking-plugins busybox-static catatonit iptables
  has npm || install_packages npm # other packages of nodejs bring their own, which Debian's would conflict with
  if ! has prometheus && has apt-get && has dpkg-deb; then
    say "prometheus"
    install_prometheus || say "prometheus could not be installed"
  fi
}

verb_infra-test() { # Apply the Terraform of both environments to a moto server, judge it, try its roles, destroy it.
  verb_setup
  install_checkov
  install_tflint
  enter_venv
  export BAKEHOUSE_GOVERNANCE_EVIDENCE="$state/governance"
  python -u -m pytest --numprocesses=logical --maxprocesses=2 --no-loadscope-reorder \
    tests/unit/test_governance_*.py tests/integration/test_terraform_*.py tests/infra "$@"
  exec bakehouse governance report
}

verb_clean() { # Remove .venv and all state; a laptop's release history and its signing key go with it.
  local own="$root/.bakehouse" python
  if [ "$state" != "$own" ] && ! [ "$state" -ef "$own" ]; then
    fail "BAKEHOUSE_STATE is $state, which stands elsewhere: remove that yourself; without BAKEHOUSE_STATE, clean removes the checkout's own."
  fi
  if [ -e "$own/delivery/lock" ]; then
    python=$(find_python)
    "$python" -c "$lockable" "$own/delivery/lock" 2>/dev/null || fail "bakehouse deliver runs on $own: stop it first."
  fi
  rm -rf "$own" "$venv" "$root/data/processed"
}

# A delivery holds its lock for as long as it lives.
lockable='import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)'

supported='import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3 python; do
    if "$candidate" -c "$supported" 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "no Python 3.11, 3.12 or 3.13 with its venv module found. Install one, or name it: PYTHON=/path/to/python3.11 make setup."
}

# pip takes minutes where uv takes seconds, so pip installs uv alone; where uv has no wheel, pip does the whole.
# uv compiles no bytecode unasked: without it `zenml` starts in 13 s rather than 7, each time where none may be written.
install_lock() {
  local uv_pin="$state/setup/uv.txt"
  mkdir -p "$state/setup"
  awk '/^[a-z]/ { wanted = /^uv==/ } wanted && !/^ *#/' "$lock" >"$uv_pin"
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
  if in_venv python -m pip install --quiet --require-hashes --requirement "$uv_pin" &&
    in_venv uv pip sync --quiet --require-hashes --compile-bytecode "$lock"; then
    return
  fi
  say "uv can't install here; pip takes over, which is slower"
  in_venv python -m pip install --quiet --require-hashes --no-deps --requirement "$lock"
}

# Whoever activates .venv by hand gets the same settings as our own verbs.
# shellcheck disable=SC2016  # the activation scripts expand what stands in single quotes, not we
hook_activation() {
  local mark="# bakehouse"
  append_once "$venv/bin/activate" "$mark" 'eval "$("$VIRTUAL_ENV/../run.sh" env)" # bakehouse'
  append_once "$venv/bin/activate.fish" "$mark" '"$VIRTUAL_ENV/../run.sh" env | source # bakehouse'
}

append_once() {
  if [ -f "$1" ] && ! grep -q "$2" "$1"; then
    printf '%s\n' "$3" >>"$1"
  fi
}

# Only the program, out of Debian's package: installed as a package it would start a server on this machine.
# In an environment of its own: it brings a python-hcl2 that is not ours.
install_checkov() {
  if ! has checkov; then
    say "checkov"
    in_venv uv venv --quiet --clear "$state/checkov"
    mkdir -p "$state/bin"
    if in_venv uv pip install --quiet --python "$state/checkov/bin/python" checkov==3.3.30; then
      ln -sf ../checkov/bin/checkov "$state/bin/checkov"
    else
      say "checkov could not be installed"
    fi
  fi
}

# Minutes of compiling, so not among the programs that every run installs.
install_tflint() {
  if ! has tflint && has go; then
    say "tflint"
    GOBIN="$state/bin" GOPATH="$state/cache/go" GOCACHE="$state/cache/go-build" GOFLAGS=-modcacherw \
      go install github.com/terraform-linters/tflint@v0.64.0 || say "tflint could not be installed"
  fi
}

# Debian's packages that are not there yet, as root, and without starting the servers among them.
install_packages() (
  has apt-get && [ "$(id -u)" = 0 ] || return 0
  wanted=()
  for package; do
    dpkg -s "$package" >/dev/null 2>&1 || wanted+=("$package")
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  apt-get update -qq >/dev/null || true
  there=()
  for package in "${wanted[@]}"; do
    if apt-cache show "$package" >/dev/null 2>&1; then there+=("$package"); fi
  done
  say "${there[*]-no package of: ${wanted[*]}}"
  [ ${#there[@]} -gt 0 ] || return 0
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends --no-remove "${there[@]}" >/dev/null ||
    say "not all of them could be installed"
)

install_prometheus() (
  folder="$state/cache/prometheus"
  rm -rf "$folder"
  mkdir -p "$folder" "$state/bin"
  cd "$folder"
  [ "$(id -u)" != 0 ] || apt-get update -qq >/dev/null
  apt-get download -qq prometheus >/dev/null 2>&1 && dpkg-deb -x prometheus_*.deb . && mv usr/bin/prometheus "$state/bin/"
)

enter_venv() {
  eval "$(verb_env)"
  export VIRTUAL_ENV="$venv" PATH="$venv/bin:$state/bin:$PATH"
  export UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}"
  unset PYTHONPATH PYTHONHOME
  cd "$root"
}

in_venv() {
  (
    enter_venv
    exec "$@"
  )
}

has() {
  PATH="$state/bin:$PATH" command -v "$1" >/dev/null
}

digest() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi
}

say() {
  printf '\033[1m==> %s\033[0m\n' "$*" >&2
}

fail() {
  printf 'run.sh: %s\n' "$*" >&2
  exit 1
}

main "$@"
