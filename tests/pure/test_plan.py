"""The plan of a load: the same for the same seed, with the shares of the profile, and bounded."""

from __future__ import annotations

import random
from collections import Counter
from importlib.resources import files
from pathlib import Path
from statistics import mean

import msgspec
import pytest

import loadtest
from loadtest.plan import (
    RESULTS,
    SECOND,
    DayProfile,
    Hall,
    Lognormal,
    Scenario,
    Seat,
    arrival_times,
    choose_service,
    clock_s,
    make_plan,
    read_profile,
    read_scenario,
)

SCENARIOS = sorted((Path(loadtest.__file__).parent / "scenarios").glob("*.toml"))


@pytest.fixture(scope="module")
def profile() -> DayProfile:
    return read_profile((files("queue_service") / "examples" / "day-profiles.json").read_bytes(), "province")


@pytest.fixture(scope="module")
def hall(profile: DayProfile) -> Hall:
    services = tuple(profile.services)
    return Hall(
        services=services,
        seats=tuple(Seat(counter=f"q{n:02}", own=(services[n % len(services)],)) for n in range(1, 41)),
        kiosks=("k1.0", "k2.0", "k3.0", "k1.1"),
        boards=("ba", "bc"),
    )


def a_scenario(**changes: object) -> Scenario:
    return msgspec.structs.replace(Scenario(name="test", speed=60.0, seconds=120.0), **changes)


def test_same_seed_same_plan(profile: DayProfile, hall: Hall):
    """Nothing is decided during the run: the plan depends on the seed and on nothing else."""
    assert make_plan(a_scenario(), profile, hall) == make_plan(a_scenario(), profile, hall)
    assert make_plan(a_scenario(), profile, hall) != make_plan(a_scenario(seed=2), profile, hall)


def test_whoever_goes_first_names_a_ground(profile: DayProfile, hall: Hall):
    """A centre with grounds refuses priority without one."""
    hall = msgspec.structs.replace(hall, grounds=("elderly", "merit"))
    wishes = [
        press.body
        for presses in make_plan(a_scenario(priority_share=0.5), profile, hall).arrivals.values()
        for press in presses
    ]
    assert {"elderly", "merit"} == {wish["ground"] for wish in wishes if wish.get("class") == "priority"}


def test_one_more_screen_changes_no_visitor(profile: DayProfile, hall: Hall):
    """Screens draw apart from visitors, so two runs with different boards can be compared."""
    few, many = (make_plan(a_scenario(screens=screens), profile, hall) for screens in (10, 60))

    assert (few.arrivals, few.rounds) == (many.arrivals, many.rounds)
    assert few.screens == many.screens[:10]


def test_visitors_come_when_the_profile_says(profile: DayProfile):
    """Over a day of many visitors each quarter of an hour gets its share, within chance."""
    visitors = 100_000
    came = Counter(int(at_s) // 900 * 900 for at_s in arrival_times(profile, visitors, 0.0, random.Random(1)))

    assert sum(came.values()) == pytest.approx(visitors, rel=0.02)
    for slot in profile.slots:
        assert came[slot.from_s] == pytest.approx(visitors * slot.share, abs=5 * (visitors * slot.share) ** 0.5 + 1)


def test_visitors_come_for_what_the_profile_says(profile: DayProfile):
    """Services are chosen by their shares; those who collect a result are a line of their own."""
    rng = random.Random(1)
    came = Counter(choose_service(profile, tuple(profile.services), rng) for _ in range(50_000))

    assert came[RESULTS] / 50_000 == pytest.approx(0.24, abs=0.01)
    assert came["cat"] / 50_000 == pytest.approx(0.24 * 0.76, abs=0.01)
    assert sum(profile.services.values()) == pytest.approx(1.0)


def test_service_without_a_share_is_still_chosen(profile: DayProfile):
    """A centre whose services are in no profile gets visitors all the same."""
    assert "new" == choose_service(profile, ("new",), random.Random(1))


def test_durations_have_the_mean_of_the_profile():
    """Lognormal as the profiles parametrise it: by mean and coefficient of variation."""
    rng = random.Random(1)
    drawn = [Lognormal(mean_s=600.0, cv=0.6).draw(rng) for _ in range(50_000)]

    assert mean(drawn) == pytest.approx(600.0, rel=0.02)


def test_presses_are_doubled_and_cut_as_asked(profile: DayProfile, hall: Hall):
    """One in twenty is sent twice and one in twenty is cut off, and none is both."""
    plan = make_plan(a_scenario(seconds=600.0), profile, hall)
    presses = [press for seat in plan.rounds.values() for visit in seat for press in visit.presses]

    assert sum(press.twice for press in presses) / len(presses) == pytest.approx(0.05, abs=0.01)
    assert sum(press.cut for press in presses) / len(presses) == pytest.approx(0.05, abs=0.01)
    assert not any(press.twice and press.cut for press in presses)


def test_visits_end_as_the_profile_says(profile: DayProfile, hall: Hall):
    """Most are served; the others are absent, fetch papers or are sent on, in the shares of the profile."""
    plan = make_plan(a_scenario(seconds=600.0), profile, hall)
    ends = Counter(visit.presses[-1].press for seat in plan.rounds.values() for visit in seat)
    visits = sum(ends.values())

    assert ends["no-show"] / visits == pytest.approx(profile.no_show_share, abs=0.02)
    assert ends["park"] / visits == pytest.approx(profile.missing_papers_share, abs=0.02)
    assert ends["transfer"] / visits == pytest.approx(profile.transfer_share, abs=0.02)


def test_absent_visitor_is_called_often_enough(profile: DayProfile, hall: Hall):
    """Absence is pressed after as many calls as the centre asks for."""
    plan = make_plan(a_scenario(no_show_share=1.0), profile, hall)
    visit = plan.rounds["q01"][0]

    assert ["call-next", "recall", "recall", "no-show"] == [press.press for press in visit.presses]


def test_parked_visitor_comes_back(profile: DayProfile, hall: Hall):
    """Two visitors after a parking the counter resumes."""
    plan = make_plan(a_scenario(seconds=600.0, no_show_share=0.0, park_share=1.0), profile, hall)
    firsts = [visit.presses[0].press for visit in plan.rounds["q01"]]

    assert "resume" in firsts
    assert "call-next" == firsts[0]


def test_presses_of_a_counter_are_in_order(profile: DayProfile, hall: Hall):
    """An officer has one pair of hands: planned instants of a counter never go back, and all lie within reach."""
    plan = make_plan(a_scenario(), profile, hall)
    for seat in plan.rounds.values():
        instants = [press.at_ns for visit in seat for press in visit.presses]
        assert instants == sorted(instants)


def test_flood_is_bounded(profile: DayProfile, hall: Hall):
    """A flood has no instants and ends by its number of presses."""
    plan = make_plan(a_scenario(pace="flood", most_presses=4000, flood_tickets=40), profile, hall)

    assert plan.count() == pytest.approx(4040, rel=0.1)
    assert 40 == sum(map(len, plan.arrivals.values()))
    assert {0} == {press.at_ns for lane in plan.arrivals.values() for press in lane}


def test_cuts_spare_the_end(profile: DayProfile, hall: Hall):
    """After the last cut there is time to catch up, and every screen joins before its first cut."""
    plan = make_plan(a_scenario(screen_cuts=3.5), profile, hall)
    for screen in plan.screens:
        assert all(screen.joins_ns < at_ns <= 0.9 * 120 * SECOND for at_ns, _ in screen.cuts)
    assert {3, 4} == {len(screen.cuts) for screen in plan.screens}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenarios_can_be_planned(path: Path, hall: Hall):
    """Every scenario we ship is read, and gives a plan with presses in it."""
    scenario = read_scenario(path.read_bytes())
    raw = (files("queue_service") / "examples" / "day-profiles.json").read_bytes()

    assert path.stem == scenario.name
    assert make_plan(scenario, read_profile(raw, scenario.profile), hall).count() > 0


def test_unknown_setting_is_named():
    """A mistyped word in a scenario is refused, not passed over."""
    with pytest.raises(ValueError, match="cutshare"):
        read_scenario(b'name = "x"\ncutshare = 1')


def test_unknown_profile_is_named():
    """A profile that the file does not have is refused by name."""
    with pytest.raises(ValueError, match="county"):
        read_profile(b'{"profiles": {}}', "county")


def test_clock():
    """Times of day are written as people write them."""
    assert 27000 == clock_s("07:30")
