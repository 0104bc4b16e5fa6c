"""What a test in a browser may ask for: a hall that nobody has used, in a service that can be killed."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from browser_world import (
    Hall,
    House,
    broad,
    quick_spoken,
    recording,
    small,
    with_hostile_names,
    with_long_names,
    with_tay,
)
from console_world import Wire
from queue_service.app import EXAMPLES
from queue_service.centre import Centre, load_centre, to_json
from queue_service.pages import static_folder

HALLS = 50
"""More than one process has tests: each takes a hall that nobody has used."""
LITTLE_HALLS = 28
"""The same of the house that is quick to start again."""
HOSTILE = "hostile"
RECORDS = "records"
LOUD = "loud"
TAY_SPEAKING = "tay"
LONG = "long"
BROAD = "broad"
WHOLE = "whole"
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first that is there: the headless shell draws the same pages for half of the work."""
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"]
"""As root; and a page that a test hands out itself may speak to the service of this machine."""

expect.set_options(timeout=8_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The service with more halls than there are tests."""
    folder = tmp_path_factory.mktemp("house")
    commune = load_centre(EXAMPLES / "demo-xa.toml")
    centres = [small(commune, f"xa-{number}") for number in range(HALLS)]
    centres.append(with_long_names(small(commune, LONG)))
    centres.append(with_hostile_names(small(commune, HOSTILE)))
    centres.append(small(commune, WHOLE))
    centres.append(broad(load_centre(EXAMPLES / "demo-tinh.toml"), BROAD))
    for id in (LONG, WHOLE):
        shutil.copy(EXAMPLES / "demo-xa-procedures.json", folder / f"{id}-procedures.json")
    shutil.copy(EXAMPLES / "demo-tinh-procedures.json", folder / f"{BROAD}-procedures.json")
    yield from _lived_in(folder, centres)


@pytest.fixture(scope="session")
def little_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A service with few halls, for the tests that kill it or put a line before it that breaks."""
    folder = tmp_path_factory.mktemp("little-house")
    commune = load_centre(EXAMPLES / "demo-xa.toml")
    centres = [small(commune, f"nho-{number}") for number in range(LITTLE_HALLS)]
    centres.append(recording(small(commune, RECORDS)))
    centres.append(quick_spoken(small(commune, LOUD)))
    centres.append(with_tay(small(commune, TAY_SPEAKING)))
    shutil.copy(EXAMPLES / "demo-xa-procedures.json", folder / f"{RECORDS}-procedures.json")
    yield from _lived_in(folder, centres)


def _lived_in(folder: Path, centres: list[Centre]) -> Iterator[House]:
    assert (static_folder() / "console.html").is_file(), "build the pages first: make web"
    files = []
    for centre in centres:
        files.append(folder / f"{centre.id}.json")
        files[-1].write_bytes(to_json(centre))
    house = House(folder, files)
    house.start()
    yield house
    house.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


_unused = itertools.count()
_unused_little = itertools.count()


@pytest.fixture
def hall(house: House, browser: Browser) -> Iterator[Hall]:
    """A hall in which nothing has happened yet."""
    yield from _opened(house, browser, f"xa-{next(_unused)}")


@pytest.fixture
def little_hall(little_house: House, browser: Browser) -> Iterator[Hall]:
    """The same in the little house."""
    yield from _opened(little_house, browser, f"nho-{next(_unused_little)}")


@pytest.fixture
def recording_hall(little_house: House, browser: Browser) -> Iterator[Hall]:
    """A hall where completing needs to say what was done; tests share it."""
    yield from _opened(little_house, browser, RECORDS)


@pytest.fixture
def loud_hall(little_house: House, browser: Browser) -> Iterator[Hall]:
    """A hall where the voice hurries, for the one test that lives through a whole day in it."""
    yield from _opened(little_house, browser, LOUD)


@pytest.fixture
def tay_hall(little_house: House, browser: Browser) -> Iterator[Hall]:
    """A hall with a third language, for the one test that takes a number in it."""
    yield from _opened(little_house, browser, TAY_SPEAKING)


@pytest.fixture
def wire(little_hall: Hall) -> Iterator[Wire]:
    """The line on which the pages of the little hall reach their service."""
    wire = Wire(little_hall.house.port)
    little_hall.base = wire.base
    yield wire
    wire.close()


@pytest.fixture
def long_hall(house: House, browser: Browser) -> Iterator[Hall]:
    """A hall in which every name is as long as it may be."""
    yield from _opened(house, browser, LONG)


@pytest.fixture
def hostile_hall(house: House, browser: Browser) -> Iterator[Hall]:
    """A hall with names that would be scripts if they were not text, for the one test that looks at them."""
    yield from _opened(house, browser, HOSTILE)


@pytest.fixture
def whole_hall(house: House, browser: Browser) -> Iterator[Hall]:
    """A hall with a catalogue, for the one test that lives through a whole day in it."""
    yield from _opened(house, browser, WHOLE)


@pytest.fixture
def broad_hall(house: House, browser: Browser) -> Iterator[Hall]:
    """A hall with the example province's departments and catalogue; tests share it."""
    yield from _opened(house, browser, BROAD)


def _opened(house: House, browser: Browser, centre: str) -> Iterator[Hall]:
    hall = Hall(house, browser, centre)
    yield hall
    hall.close()
    assert hall.troubles == []
