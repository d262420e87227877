#!/usr/bin/env bash
# Chromium from Debian's packages, for the tests of the report; it needs root and a Debian.
set -euo pipefail

if command -v chromium > /dev/null && command -v chromedriver > /dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || [ -z "$(command -v apt-get)" ]; then
    echo "installing Chromium takes root and apt-get" >&2
    exit 77
fi
export DEBIAN_FRONTEND=noninteractive
# A mirror that does not answer is asked again, and not for ever.
options=(-y -o Acquire::Retries=3 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=60)
timeout 180 apt-get update "${options[@]}"
timeout 300 apt-get install "${options[@]}" --no-install-recommends chromium chromium-driver
