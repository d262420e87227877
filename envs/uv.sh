#!/bin/sh
# Print the path of uv: the one on PATH if it is new enough for the lock, else one bootstrapped with pip into .uv/ here.
set -eu
cd "$(dirname "$0")/.."
version=0.13.8
oldest=0.9.0

usable() {
    found=$(uv --version 2>/dev/null | cut -d ' ' -f 2) &&
        [ "$(printf '%s\n' "$oldest" "$found" | sort -V | head -n 1)" = "$oldest" ]
}

if usable; then
    command -v uv
    exit 0
fi
if ! [ -x .uv/bin/uv ]; then
    python=$(command -v python3 || command -v python) || {
        echo "error: no python3 found; install Python 3.11 or newer" >&2
        exit 1
    }
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "error: $python is older than Python 3.11; put a newer python3 first on PATH" >&2
        exit 1
    }
    echo "installing uv $version into .uv/" >&2
    rm -rf .uv
    # A plain target folder, since some systems split venv off into a package of its own.
    "$python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        --target .uv "uv==$version" >&2 || {
        rm -rf .uv
        echo "error: could not install uv; install it yourself (docs.astral.sh/uv) and run make again" >&2
        exit 1
    }
fi
echo "$PWD/.uv/bin/uv"
