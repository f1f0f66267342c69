"""Pictures of a page, and its document after its script has run, from headless Chromium.

python tools/screenshot.py report.html report.png [--width 1280] [--height 900] [--dark] [--scale 2]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
).split()


def find() -> str | None:
    """The path of Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def dump_dom(html: Path, fragment: str = "", width: int = 1280, height: int = 900) -> str:
    """The page's document as HTML, after its script. `fragment` goes behind the `#` of the address."""
    return _chromium(f"--window-size={width},{height}", "--dump-dom", _address(html, fragment)).stdout


def screenshot(
    html: Path,
    png: Path,
    width: int = 1280,
    height: int | None = None,
    *,
    dark: bool = False,
    scale: float = 1.0,
    fragment: str = "",
) -> Path:
    """A picture of the page, `scale` pixels for a pixel of the page. Without `height`: the whole page."""
    if height is None:
        found = re.search(r'data-height="(\d+)"', dump_dom(html, fragment, width))
        height = int(found[1]) if found else 2000
    flags = [
        f"--window-size={width},{height}",
        f"--force-device-scale-factor={scale:g}",
        f"--screenshot={png.resolve()}",
    ]
    if dark:
        flags.append("--blink-settings=preferredColorScheme=0")
    _chromium(*flags, _address(html, fragment))
    return png


def _address(html: Path, fragment: str) -> str:
    return html.resolve().as_uri() + (f"#{fragment}" if fragment else "")


def _chromium(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = find()
    if program is None:
        raise SystemExit("no Chromium found\n  apt install chromium")
    with tempfile.TemporaryDirectory() as profile:
        return subprocess.run(
            [program, *FLAGS, f"--user-data-dir={profile}", *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=90,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("html", type=Path)
    parser.add_argument("png", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, help="default: the whole page")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--fragment", default="", help="what stands behind # in the address, such as as=player_0")
    given = parser.parse_args()
    screenshot(
        given.html, given.png, given.width, given.height, dark=given.dark, scale=given.scale, fragment=given.fragment
    )


if __name__ == "__main__":
    main()
