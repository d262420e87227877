"""A real browser without a screen, for what a reader sees: Chromium through selenium."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium import webdriver

OPTIONS = [
    "--headless=new",
    "--no-sandbox",  # which root cannot use
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@contextmanager
def browser(width: int, height: int = 900) -> Iterator[webdriver.Chrome]:
    """A browser with a window of this size; the test is skipped where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("no chromium and chromedriver here (as root on Debian: tests/install_browser.sh)")
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for option in [*OPTIONS, f"--user-data-dir={profile}"]:
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            # Narrower than any window may be.
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            found.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            yield found
        finally:
            found.quit()
