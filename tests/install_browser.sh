#!/usr/bin/env bash
# Chromium from Debian's packages, for the tests of the report; it needs root and a Debian.
set -euo pipefail
. "$(dirname "$0")/debian.sh"

install_packages Chromium "chromium chromedriver" chromium chromium-driver
