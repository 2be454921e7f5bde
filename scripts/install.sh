#!/bin/sh
# Make .venv from requirements.lock, with nothing but python3 (3.11 or newer) and a network.
# Used by `make install`, which calls it only when the lock or a pyproject file has changed.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'install: %s\n' "$*"; }

stop() {
    printf '\n%s\n\n' "$1" >&2
    shift
    printf '    %s\n' "$@" >&2
    exit 1
}

has_version() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && has_version "$name"; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
}

# uv goes into a small environment of its own, inside the checkout.
bootstrap_uv() {
    tool=.cache/uv-tool
    say "fetching the installer (uv) into $tool"
    rm -rf "$tool"

    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv "$tool"
        "$tool/bin/python" -m pip install --quiet --disable-pip-version-check uv
    elif "$python" -c 'import venv, pip' 2>/dev/null; then
        "$python" -m venv --without-pip "$tool"
        "$python" -m pip --python "$tool/bin/python" install --quiet --disable-pip-version-check uv
    else
        stop "$python has no venv/ensurepip, so no environment can be made. Install one of:" \
            "sudo apt install python3-venv     (Debian, Ubuntu)" \
            "sudo dnf install python3-pip      (Fedora, RHEL)" \
            "uv itself, on PATH:               https://docs.astral.sh/uv/getting-started/installation/" \
            "then run the same command again."
    fi
}

python=$(find_python)

if command -v uv >/dev/null; then
    uv=uv
elif [ -z "$python" ]; then
    stop "Spindle needs Python 3.11 or newer; none is on PATH. Install one of:" \
        "sudo apt install python3 python3-venv   (Debian 12, Ubuntu 24.04 or newer)" \
        "sudo dnf install python3.12             (Fedora, RHEL 9)" \
        "brew install python@3.13                (macOS)" \
        "uv, which brings its own Python:        https://docs.astral.sh/uv/getting-started/installation/" \
        "then run the same command again, or name an interpreter: make PYTHON=/path/to/python3.12 ..."
else
    uv=.cache/uv-tool/bin/uv
    "$uv" --version >/dev/null 2>&1 || bootstrap_uv
fi

if ! has_version .venv/bin/python; then
    say "making .venv with ${python:-a Python that uv brings}"
    "$uv" venv --quiet --clear --python "${python:->=3.11}" .venv
fi

say "installing the packages of requirements.lock (a minute or so the first time)"
"$uv" pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes \
    requirements.lock
"$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation \
    -e ./spi -e ./conformance -e .
# As pip does, and as uv did above: a first start need not compile what it imports.
.venv/bin/python -m compileall -q spi core modules conformance
say "done"
