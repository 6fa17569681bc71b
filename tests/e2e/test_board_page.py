"""The board in a real browser: on a phone and a desk, in light and dark, by keyboard, and without any network."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gitops.board import board
from gitops.board_page import page, write
from tests.board_world import tell_hostile, told
from tests.browser import Tab, tab

PHONE, DESK = 390, 1280
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (./run.sh programs)")

SIDEWAYS = """(() => { const page = document.documentElement;
  const beyond = [...document.querySelectorAll('body *')].filter(it =>
    it.getBoundingClientRect().right > page.clientWidth + 1 && !it.closest('.scroll') && it.className !== 'skip');
  return [page.scrollWidth - page.clientWidth, beyond.map(it => it.outerHTML.slice(0, 120))]; })()"""

# WCAG 2.1, success criterion 1.4.3: contrast of each text with the nearest background that is painted.
TOO_PALE = """(() => {
  const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => 0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue);
  const behind = it => { const colour = parts(getComputedStyle(it).backgroundColor);
    return colour.length === 4 && colour[3] === 0 && it.parentElement ? behind(it.parentElement) : colour; };
  const texts = [...document.querySelectorAll('body *')].filter(it =>
    [...it.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
  return [texts.length, texts.map(it => {
    const [one, other] = [light(parts(getComputedStyle(it).color)), light(behind(it))];
    return [(Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05), it.outerHTML.slice(0, 120)];
  }).filter(([ratio]) => ratio < 4.5)]; })()"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The board of a repository with all kinds of change, of which one is hostile."""
    folder = tmp_path_factory.mktemp("board")
    written = folder / "board.html"
    with told(folder) as repository:
        tell_hostile(repository)
        write(page(board(repository), repository.url, lambda name, digest: "reports/1.html"), written)
    return written


@pytest_asyncio.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Tab]:
    assert CHROMIUM is not None
    async with tab(CHROMIUM, tmp_path / "profile") as opened:
        yield opened


@pytest.mark.asyncio
async def test_the_board_reads_on_a_phone_and_on_a_desk_in_light_and_dark(file: Path, browser: Tab) -> None:
    """Nothing reaches beyond the window's side, every text stands out from its ground, nothing but the file is loaded,
    and the browser complains of nothing."""
    for width, dark in ((PHONE, False), (DESK, True)):
        await browser.open(file, width, dark=dark)
        await browser.value("document.querySelectorAll('details').forEach(it => it.open = true)")
        overflow, beyond = await browser.value(SIDEWAYS)
        assert (overflow, beyond) == (0, []), width
        texts, pale = await browser.value(TOO_PALE)
        assert texts > 100
        assert pale == [], dark
        await browser.picture(file.with_name(f"{width}.png"))
        assert file.with_name(f"{width}.png").stat().st_size > 50_000
    assert set(browser.requested) == {file.as_uri()}
    assert browser.complaints == []


@pytest.mark.asyncio
async def test_the_board_is_read_by_keyboard_alone(file: Path, browser: Tab) -> None:
    """The first Tab leads past the overview, and whatever is folded opens by Enter."""
    await browser.open(file, DESK)
    await browser.press("Tab", 9)
    assert await browser.value("document.activeElement.getAttribute('href')") == "#models"
    assert await browser.value("document.activeElement.getBoundingClientRect().left >= 0")
    for _ in range(200):
        await browser.press("Tab", 9)
        if await browser.value("document.activeElement.tagName") == "SUMMARY":
            break
    assert not await browser.value("document.activeElement.parentElement.open")
    await browser.press("Enter", 13)
    assert await browser.value("document.activeElement.parentElement.open")
    assert await browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
