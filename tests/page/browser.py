"""A real Chromium, driven."""

import base64
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from stage import eventually

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / ".work/axe/node_modules/axe-core/axe.min.js"
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
).split()


class Browser:
    """One window of its own profile."""

    def __init__(self, directory, width=1280, height=900, dark=False, script=True):
        options = webdriver.ChromeOptions()
        for flag in [*FLAGS, f"--user-data-dir={directory}/profile", f"--window-size={width},{height}"]:
            options.add_argument(flag)
        if not script:
            options.add_argument("--blink-settings=scriptEnabled=false")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        # A page that never comes is a failure, and not one that lasts for ever.
        self.driver.set_page_load_timeout(30)
        self.cdp = self.driver.execute_cdp_cmd
        # A window is not narrower than 500 pixels, a telephone is.
        self.cdp("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
        if dark:
            self.cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})

    def open(self, url):
        self.driver.get(url)

    def text(self):
        return self.driver.find_element("css selector", "body").text

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def press(self, *keys):
        """Keys, to whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def focused(self):
        """The text and the address of what has the focus."""
        element = self.driver.switch_to.active_element
        return element.text, element.get_attribute("href")

    def complaints(self):
        """What the console says: errors, refused scripts and styles, missing files."""
        return [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def picture(self, path):
        """The whole page."""
        size = self.cdp("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}
        data = self.cdp("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def overflows(self):
        """By how many pixels the page is wider than the window."""
        return self.js("return document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def barriers(self):
        """What axe-core finds in the way of people."""
        self.js(AXE.read_text() + "; window.axe = axe;")
        found = self.driver.execute_async_script("const done = arguments[0]; axe.run(document).then(done, (e) => done({violations: [{id: String(e), nodes: []}]}))")
        return [(rule["id"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found["violations"]]

    def paint(self):
        """Milliseconds to the first paint with content, and bytes over the wire of all that was loaded."""
        return eventually("it is painted", self._paint)

    def _paint(self):
        return self.js("""
            const paint = performance.getEntriesByName("first-contentful-paint")[0];
            const all = [performance.getEntriesByType("navigation")[0], ...performance.getEntriesByType("resource")];
            return paint && [paint.startTime, all.reduce((sum, one) => sum + one.transferSize, 0)];
        """)

    def close(self):
        self.driver.quit()
