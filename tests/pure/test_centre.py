"""The centre: every mistake of its file is reported with its place, and the value answers what the hall asks."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_service import centre as words
from queue_service.centre import (
    CLASSES,
    Centre,
    FaultyCentre,
    Policy,
    build,
    check,
    clusters,
    counter_label,
    load_centre,
    parse,
    to_json,
)
from queue_service.centre_file import mistakes
from queue_service.errors import NotFound, UnknownBoard, UnknownCounter, UnknownDepartment, UnknownService

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "queue_service" / "examples"

SMALL: dict[str, Any] = {
    "id": "small",
    "name": "Trung tâm nhỏ",
    "name_en": "Small centre",
    "level": "commune",
    "hours": {
        "days": ["mon", "tue"],
        "sessions": [{"from": "07:30", "to": "11:30"}, {"from": "13:30", "to": "17:00"}],
        "ticket_sessions": [{"from": "07:15", "to": "11:15"}, {"from": "13:15", "to": "16:30"}],
    },
    "zones": [{"id": "a", "name": "Khu A", "name_en": "Area A"}],
    "departments": [
        {"id": "land", "name": "Đất đai", "name_en": "Land", "letter": "A"},
        {"id": "police", "name": "Công an", "name_en": "Police", "letter": "C"},
    ],
    "services": [
        {"id": "land", "department": "land", "name": "Đất đai", "name_en": "Land", "mean_service_s": 900},
        {"id": "police", "department": "police", "name": "Công an", "name_en": "Police", "mean_service_s": 480},
    ],
    "counters": [
        {"id": "q01", "number": 1, "name": "Quầy 1", "zone": "a", "serves": [{"service": "land"}]},
        {
            "id": "q02",
            "number": 2,
            "name": "Quầy 2",
            "zone": "a",
            "serves": [{"service": "police"}, {"service": "land", "level": 2}],
        },
    ],
    "boards": [{"id": "ba", "name": "Bảng A", "zones": ["a"]}],
    "kiosks": [{"id": "k1", "name": "Ki-ốt 1", "zone": "a"}],
    "desks": [{"id": "hd1", "name": "Bàn 1"}],
    "grounds": [{"id": "elderly", "name": "Người cao tuổi", "name_en": "Elderly person"}],
    "policy": {
        "classes": [{"id": id, "promise_s": promise} for id, promise in zip(CLASSES, (1800, 300, 300), strict=True)]
    },
}
GONE = object()


def small(**changes: object) -> dict[str, Any]:
    """A clean small file with changes; ``counters[0].zone`` is written ``counters__0__zone``."""
    raw = copy.deepcopy(SMALL)
    for path, value in changes.items():
        *steps, last = (int(step) if step.isdigit() else step for step in path.split("__"))
        spot: Any = raw
        for step in steps:
            spot = spot.setdefault(step, {}) if isinstance(spot, dict) else spot[step]
        if value is GONE:
            del spot[last]
        elif isinstance(spot, list) and last == len(spot):
            spot.append(value)
        else:
            spot[last] = value
    return raw


def reported(raw: object) -> list[str]:
    return [f"{problem.severity} {problem}" for problem in check(raw)]


def test_a_clean_file_has_no_problems():
    assert [] == reported(SMALL)


ERRORS = [
    # shape
    ([], "the file: must be a table, not a list"),
    (small(name=GONE), "name: is missing"),
    (small(counters__1__zone=GONE), "counters[1].zone: is missing"),
    (small(hours__sessions__0__to=GONE), "hours.sessions[0].to: is missing"),
    (small(slogn="Hành chính phục vụ"), "slogn: is not a setting here; did you mean 'slogan'?"),
    (
        small(departments__0__dailycap=5),
        "departments[0].dailycap: is not a setting here; did you mean 'daily_cap'?",
    ),
    (small(zones={}), "zones: must be a list, not a table"),
    (small(hours=7), "hours: must be a table, not the value 7"),
    (small(departments__0="land"), "departments[0]: must be a table, not the text 'land'"),
    (small(name=5), "name: must be text in quotes, not the value 5"),
    (small(departments__0__id=5), "departments[0].id: must be text in quotes, not the value 5"),
    (small(policy__classes__0__promise_s="1800"), "policy.classes[0].promise_s: must be a whole number, not the text"),
    (small(boards__0__inches="55"), "boards[0].inches: must be a number, not the text '55'"),
    (small(name=None), "name: must be text in quotes, not nothing"),
    (small(fictional="yes"), "fictional: must be true or false, not the text 'yes'"),
    (small(counters__0__number="1"), "counters[0].number: must be a whole number, not the text '1'"),
    (small(counters__0__number=1.5), "counters[0].number: must be a whole number, not the value 1.5"),
    (small(counters__0__number=True), "counters[0].number: must be a whole number, not the value true"),
    (small(policy__kappa="fast"), "policy.kappa: must be a number, not the text 'fast'"),
    (small(level="city"), "level: 'city' is not one of commune, province"),
    (small(services__0__purpose="colect"), "did you mean 'collect'?"),
    (small(services__0__clusters=[["q99"]]), "services[0].clusters[0][0]: counter 'q99' does not serve"),
    (small(services__0__clusters=[[]]), "services[0].clusters[0]: has 0 entries; at least 1 needed"),
    (small(departments__0__mode="clusters"), "departments[0].mode: 'clusters' is not one of"),
    (small(hours__days=["mon", "monday"]), "hours.days[1]: 'monday' is not one of"),
    (small(hours__days=[]), "hours.days: has 0 entries; at least 1 needed"),
    (small(zones=[]), "zones: has 0 entries; at least 1 needed"),
    (small(grounds=[SMALL["grounds"][0]] * 51), "grounds: has 51 entries; at most 50 allowed"),
    # ids, letters, times, languages
    (small(id="Nhỏ"), "id: 'Nhỏ' is not an id: use 1 to 32 of a–z, 0–9 and hyphens, no hyphen at either end"),
    (small(id="Xã Đông"), "; for example 'xa-dong'"),
    (small(id="a}b{c"), "id: 'a}b{c' is not an id"),
    (small(counters__0__id="-q01"), "counters[0].id: '-q01' is not an id"),
    (small(counters__0__id="q01\n"), r"counters[0].id: 'q01\u000a' is not an id"),
    (small(zones__0__id="a" * 33), "zones[0].id: "),
    (small(departments__0__letter="a"), "departments[0].letter: 'a' is not a letter for tickets"),
    (small(departments__0__letter="Đ"), "; for example 'D'"),
    (small(departments__0__letter="AB"), "departments[0].letter: 'AB' is not a letter for tickets"),
    (small(hours__sessions__0__from="7:30"), "hours.sessions[0].from: '7:30' is not a time of day"),
    (small(hours__sessions__0__from="7h30"), "; for example '07:30'"),
    (small(hours__sessions__0__to="24:00"), "hours.sessions[0].to: '24:00' is not a time of day"),
    (small(languages=["vi", "EN"]), "languages[1]: 'EN' is not a language"),
    # numbers out of bounds
    (small(services__0__mean_service_s=-1), "services[0].mean_service_s: is -1; it must lie between 5 and 14400"),
    (small(services__0__mean_service_s=4), "services[0].mean_service_s: is 4; it must lie between 5 and 14400"),
    (small(services__0__mean_service_s=14401), "services[0].mean_service_s: is 14401; it must lie"),
    (small(departments__0__daily_cap=1000), "departments[0].daily_cap: is 1000; it must lie between 1 and 999"),
    (small(policy__window_s={"cluster": -5}), "policy.window_s.cluster: is -5; it must lie between 0 and 3600"),
    (small(counters__0__number=1 << 99_999), "counters[0].number: is a huge number; it must lie between 1 and 999"),
    (small(name=1 << 99_999), "name: must be text in quotes, not the value a huge number"),
    (
        small(policy__classes__1__promise_s=1 << 99_999),
        "policy.classes[1].promise_s: promises a huge number s to priority",
    ),
    (small(policy__kappa=float("nan")), "policy.kappa: is nan; it must lie between 0 and 10"),
    (small(boards__0__inches=float("inf")), "boards[0].inches: is inf; it must lie between 7 and 200"),
    # hostile or broken text
    (small(name=""), "name: is empty"),
    (small(name="  "), "name: is empty"),
    (small(name="a" * 121), "name: is 121 characters long; at most 120 fit on a board and a slip"),
    (small(slogan="a" * 201), "slogan: is 201 characters long"),
    (small(name="Trung tâm\x00"), "name: holds characters nobody can see (U+0000 control)"),
    (small(name="Trung tâm\nnhỏ"), "name: holds characters nobody can see (U+000A control)"),
    (small(name="Quầy \u202e12"), "name: holds characters nobody can see (U+202E RIGHT-TO-LEFT OVERRIDE)"),
    (small(name="Quầy\u200b"), "name: holds characters nobody can see (U+200B ZERO WIDTH SPACE)"),
    (small(name="Quầy \ud800"), "name: holds characters nobody can see (U+D800 control)"),
    (small(name="Tru\u031bng"), "name: has accents typed apart from their letters; write 'Trưng' (NFC)"),
    (small(name="Z" + "\u0335\u0336\u0337\u0338" * 2), "name: piles accents over one another"),
    (small(name=" Trung tâm"), "name: begins or ends with a space"),
    (small(**{"x\u202ey": 1}), r"x\u202ey: is not a setting here"),
    # said twice
    (small(zones__1=SMALL["zones"][0]), "zones[1].id: 'a' is taken already by zones[0].id"),
    (small(departments__1__id="land"), "departments[1].id: 'land' is taken already by departments[0].id"),
    (small(services__1__id="land"), "services[1].id: 'land' is taken already by services[0].id"),
    (small(counters__1__id="q01"), "counters[1].id: 'q01' is taken already by counters[0].id"),
    (small(boards__1=SMALL["boards"][0]), "boards[1].id: 'ba' is taken already by boards[0].id"),
    (small(kiosks__1=SMALL["kiosks"][0]), "kiosks[1].id: 'k1' is taken already by kiosks[0].id"),
    (small(desks__1=SMALL["desks"][0]), "desks[1].id: 'hd1' is taken already by desks[0].id"),
    (small(grounds__1=SMALL["grounds"][0]), "grounds[1].id: 'elderly' is taken already by grounds[0].id"),
    (small(counters__1__number=1), "counters[1].number: 1 is taken already by counters[0].number"),
    (small(departments__1__letter="A"), "departments[1].letter: 'A' is taken already by departments[0].letter"),
    (small(languages=["vi", "vi"]), "languages[1]: 'vi' is taken already by languages[0]"),
    (small(hours__days=["mon", "mon"]), "hours.days[1]: 'mon' is taken already by hours.days[0]"),
    (small(boards__0__zones=["a", "a"]), "boards[0].zones[1]: 'a' is taken already by boards[0].zones[0]"),
    (
        small(counters__1__serves__1__service="police"),
        "counters[1].serves[1].service: 'police' is taken already by counters[1].serves[0].service",
    ),
    # named but not there
    (
        small(counters__1__serves__0__service="polise"),
        "counters[1].serves[0].service: no service 'polise'; did you mean 'police'?",
    ),
    (small(services__0__department="lang"), "services[0].department: no department 'lang'; did you mean 'land'?"),
    (small(counters__0__zone="z"), "counters[0].zone: no zone 'z'"),
    (small(kiosks__0__zone="z"), "kiosks[0].zone: no zone 'z'"),
    (small(boards__0__zones=["a", "b"]), "boards[0].zones[1]: no zone 'b'"),
    (small(timezone="Asia/Hanoi"), "timezone: no time zone 'Asia/Hanoi'"),
    (small(timezone="Asia/Ho_Chi_Min"), "did you mean 'Asia/Ho_Chi_Minh'?"),
    (small(timezone="../../etc/passwd"), "timezone: no time zone '../../etc/passwd'"),
    (small(timezone="Asia"), "timezone: no time zone 'Asia'"),
    # nobody's work
    (small(counters__0__serves=[]), "counters[0].serves: is empty: a counter without services can call nobody"),
    (
        small(counters__1__serves=[{"service": "land"}]),
        "departments[1]: nobody serves 'police': add one of its services to a counter",
    ),
    (small(counters__1__serves=[{"service": "land"}]), "services[1]: no counter serves 'police'"),
    (
        small(services__1__id="cards", counters__1__serves=[{"service": "cards"}]),
        "departments[1]: has no service of its own: add a service with id 'police' and department the same",
    ),
    (small(services__1__department="land"), "departments[1]: has no service of its own"),
    # letters
    *(
        (small(departments__0__letter=letter), f"departments[0].letter: {letter} is not used on tickets")
        for letter in "IJOQW"
    ),
    # hours
    (
        small(hours__sessions__0__to="07:30"),
        "hours.sessions[0]: ends at 07:30, not after its start at 07:30",
    ),
    (small(hours__sessions__1__to="12:00"), "hours.sessions[1]: ends at 12:00, not after its start at 13:30"),
    (
        small(hours__sessions__1__from="11:00"),
        "hours.sessions[1]: overlaps the session before it (07:30–11:30); list them in order of time",
    ),
    (
        small(hours__sessions=SMALL["hours"]["sessions"][::-1]),
        "hours.sessions[1]: comes before the session above it (13:30–17:00); list them in order of time",
    ),
    (small(hours__ticket_sessions__1__from="11:00"), "hours.ticket_sessions[1]: overlaps the session before it"),
    # rules that contradict one another
    (
        small(policy__classes__1__promise_s=3600),
        "policy.classes[1].promise_s: promises 3600 s to priority, longer than the 1800 s of standard",
    ),
    (
        small(policy__classes=SMALL["policy"]["classes"][::-1]),
        "policy.classes: must list standard, priority, appointment, once each and in this order",
    ),
    (small(policy__classes=SMALL["policy"]["classes"][:2]), "policy.classes: has 2 entries; at least 3 needed"),
    (
        small(policy__window_s={"counter": 2400}),
        "policy.window_s.counter: is 2400, longer than the standard promise of 1800 s",
    ),
    # the voice
    (small(voice={"languages": ["vi", "fr"]}), "voice.languages[1]: no language of this centre 'fr'"),
    (small(voice={"languages": ["vi", "vi"]}), "voice.languages[1]: 'vi' is taken already by voice.languages[0]"),
    (
        small(voice={"dialect": "nord"}),
        "voice.dialect: 'nord' is not one of central, north, south; did you mean 'north'?",
    ),
    (small(voice={"rate": 4}), "voice.rate: is 4; it must lie between 0.5 and 2"),
    (small(voice={"clip_pack": "../var"}), "voice.clip_pack: '../var' is not an id"),
    (
        small(voice={"phrases": [{"language": "km", "call": "{number} {counter}"}]}),
        "voice.phrases[0].language: no language",
    ),
    (
        small(voice={"phrases": [{"language": "vi", "call": "Mời số {number}"}]}),
        "voice.phrases[0].call: does not say the counter: write {counter} where it belongs",
    ),
    (
        small(voice={"phrases": [{"language": "vi", "call": "Mời {nunber}, {number}, {counter}"}]}),
        "voice.phrases[0].call: {nunber} is no place here; did you mean 'number'?",
    ),
    (
        small(voice={"phrases": [{"language": "vi", "call": "Mời {number}, {counter}, {zone"}]}),
        "voice.phrases[0].call: has a { or } that opens or closes nothing",
    ),
    (small(boards__0__speaks="no"), "boards[0].speaks: must be true or false, not the text 'no'"),
]

WARNINGS = [
    (small(boards__0__speaks=False), "zones[0]: no board speaks the calls of zone 'a'"),
    (
        small(departments__0__letter="P", departments__1__letter="T"),
        "counters[0]: letters P and T sound alike and are called at counters 1 and 2",
    ),
    (
        small(
            departments__0__letter="M",
            departments__1__letter="N",
            counters=[{**SMALL["counters"][1], "serves": [{"service": "land"}, {"service": "police"}]}],
        ),
        "counters[0]: letters M and N sound alike and are called at counter 2",
    ),
    (small(departments__0__letter="Y"), "departments[0].letter: Y is spoken like I"),
    (small(departments__1__name="Đất đai"), "departments[1].name: 'Đất đai' is taken already by departments[0].name"),
    (small(counters__0__id="q07"), "counters[0].number: is 1 but the id is 'q07'"),
    (
        small(counters__1__serves__0={"service": "police", "level": 3}),
        "counters[1].serves: has only overflow (level 2 or more): no own work",
    ),
    (
        small(counters__1__serves__0={"service": "police", "level": 3}),
        "services[1]: 'police' is served only as overflow: no counter has it at level 1",
    ),
    (small(zones__1={"id": "b", "name": "Khu B", "name_en": "Area B"}), "zones[1]: no counter stands in zone 'b'"),
    (small(boards=[]), "zones[0]: no board shows zone 'a': its calls would be heard only"),
    (
        small(hours__ticket_sessions__1__to="17:30"),
        "hours.ticket_sessions[1]: gives numbers until 17:30, when no session is open",
    ),
    (small(policy__window_s={"department": 60}), "policy.window_s.department: has no effect"),
    (
        small(boards__0__inches=32),
        "boards[0].distance_m: a 32-inch screen is read from 7 m at most, not 12 m; use a larger screen or more boards",
    ),
]


@pytest.mark.parametrize(("raw", "sentence"), ERRORS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_mistake_is_an_error_with_its_place(raw, sentence):
    """Each mistake is named with its place, and the file is refused."""
    assert any(line.startswith("error ") and sentence in line for line in reported(raw)), reported(raw)
    with pytest.raises(FaultyCentre) as refusal:
        build(raw)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(("raw", "sentence"), WARNINGS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_doubt_is_a_warning_and_stops_nothing(raw, sentence):
    """Each doubt is named with its place; the centre can still be built."""
    assert any(line.startswith("warning ") and sentence in line for line in reported(raw)), reported(raw)
    assert isinstance(build(raw), Centre)


def test_all_mistakes_are_reported_at_once():
    """One look at the report is enough: nothing hides behind the first mistake."""
    raw = small(id="?", counters__0__zone="z", services__0__mean_service_s=1, slogn="")

    assert ["slogn", "id", "services[0].mean_service_s", "counters[0].zone"] == [
        problem.place for problem in check(raw)
    ]


def test_letters_that_sound_alike_are_fine_apart():
    """Two counters with a wall of zones between them may have letters that rhyme."""
    raw = small(
        departments__0__letter="P",
        departments__1__letter="T",
        zones__1={"id": "b", "name": "Khu B", "name_en": "Area B"},
        counters__1__zone="b",
        boards__0__zones=["a", "b"],
    )

    assert [] == reported(raw)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=8), inside, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from([*SMALL, "hours__days", "hours__sessions", "policy__classes", "counters__0__serves", "boards__0"]),
)
def test_any_value_anywhere_gives_sentences_and_never_a_crash(value, path):
    """Whatever somebody writes at a place, the check answers in sentences; what it lets pass can be built."""
    raw = small(**{path: value})
    problems = check(raw)

    assert all(problem.sentence for problem in problems)
    if not any(problem.severity == "error" for problem in problems):
        assert isinstance(build(raw), Centre)


def test_a_new_kind_of_setting_must_be_taught_to_the_check():
    """Whoever adds a field of another type learns at once that the check does not know it."""
    with pytest.raises(TypeError, match="DateType"):
        list(mistakes("2026-11-22", msgspec.inspect.type_info(dt.date)))


# Reading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind", "report"),
    [
        (b'id = "a"\nname = \n', "toml", "line 2, column 8: is not TOML: Invalid value"),
        (b"id = 1\nid = 2\n", "toml", "line 2, column 7: is not TOML: Cannot overwrite a value"),
        (b"id =", "toml", "end of document: is not TOML: Invalid value"),
        (b"id = " + b"9" * 5000, "toml", "the file: cannot be read: Exceeds the limit"),
        (b"[" + b"9" * 5000 + b"]", "json", "the file: cannot be read: Exceeds the limit"),
        (b'{"id": }', "json", "line 1, column 8: is not JSON: Expecting value"),
        (b'{"id": 1, "id": 2}', "json", "id: is written twice in one table"),
        (b'id = "\xff"', "toml", "byte 6: is not UTF-8 text; save the file with the encoding UTF-8"),
        (b"[" * 100_000, "json", "the file: is nested too deeply to be a centre"),
        (b"a = " + b"[" * 100_000, "toml", "the file: is nested too deeply to be a centre"),
    ],
)
def test_a_text_that_is_no_file_is_refused_with_line_and_column(content, kind, report):
    with pytest.raises(FaultyCentre) as refusal:
        parse(content, kind)
    assert str(refusal.value).startswith(report)


def test_the_mark_notepad_writes_is_read_over():
    assert {"id": "a"} == parse(b'\xef\xbb\xbfid = "a"\r\n', "toml")


def test_json_of_the_same_shape_is_the_same_centre(tmp_path):
    """TOML, JSON and the canonical JSON of a centre give equal centres with equal versions."""
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SMALL), encoding="utf-8")

    assert build(SMALL) == load_centre(path)
    assert build(SMALL) == build(parse(to_json(build(SMALL)), "json"))


def test_the_version_follows_the_meaning():
    """Spelling a default out keeps the version; changing a value changes it."""
    assert build(SMALL).version == build(small(slogan="", policy=GONE)).version
    assert build(SMALL).version != build(small(slogan="Hành chính phục vụ")).version
    assert re.fullmatch(r"[0-9a-f]{12}", build(SMALL).version)


# The examples -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["demo-tinh", "demo-xa"])
def test_an_example_is_clean_and_makes_the_round_trip(name):
    """Both examples are without errors and without warnings, and survive being written and read."""
    content = (EXAMPLES / f"{name}.toml").read_bytes()

    assert [] == reported(parse(content, "toml"))
    centre = load_centre(EXAMPLES / f"{name}.toml")
    assert name == centre.id
    assert centre == build(parse(to_json(centre), "json"))


def test_the_province_has_its_departments_and_its_results_lane():
    centre = load_centre(EXAMPLES / "demo-tinh.toml")

    assert (20, 40, 5) == (len(centre.departments), len(centre.counters), len(centre.zones))
    assert ["q39", "q40"] == [counter.id for counter in centre.counters_of("tra-ket-qua")]
    assert {d.id for d in centre.departments} == {s.id for s in centre.services}
    assert ("a", "b", "c", "d", "e") == centre.board("tong").zones


def test_the_day_profiles_speak_of_the_example_centres():
    """Every department of a profile is one of its centre's, and the means agree."""
    profiles = json.loads((EXAMPLES / "day-profiles.json").read_text(encoding="utf-8"))["profiles"]

    for profile in profiles.values():
        centre = load_centre(EXAMPLES / f"{profile['centre']}.toml")
        means = {entry["department"]: entry["service"]["mean_minutes"] * 60 for entry in profile["departments"]}
        assert means == {s.id: s.mean_service_s for s in centre.services if s.id != "tra-ket-qua"}


# Questions the hall asks --------------------------------------------------------------------------------------


def test_lookups_find_by_id_and_refuse_what_is_not_here():
    centre = build(SMALL)

    assert "A" == centre.department_of("land").letter
    assert ["land"] == [service.id for service in centre.services_in("land")]
    assert ("Khu A", "Ki-ốt 1", "Bàn 1", "Người cao tuổi") == (
        centre.zone("a").name,
        centre.kiosk("k1").name,
        centre.desk("hd1").name,
        centre.ground("elderly").name,
    )
    for ask, refusal, id in [
        (centre.department, UnknownDepartment, "lan"),
        (centre.service, UnknownService, "lan"),
        (centre.counter, UnknownCounter, "q99"),
        (centre.board, UnknownBoard, "bb"),
        (centre.zone, NotFound, "b"),
        (centre.counters_of, UnknownService, "lan"),
        (centre.services_of, UnknownCounter, "q99"),
        (centre.services_in, UnknownDepartment, "lan"),
    ]:
        with pytest.raises(refusal, match=id):
            ask(id)


def test_own_work_comes_before_help():
    """A counter's services and a line's counters stand in the order the discipline takes them."""
    centre = load_centre(EXAMPLES / "demo-tinh.toml")

    assert ["q01", "q02", "q03", "q04", "q05", "q07", "q23"] == [c.id for c in centre.counters_of("vpdkdd")]
    assert ["sct", "skhcn", "bqlkcn"] == [service.id for service in centre.services_of("q26")]
    assert (1, 2, None) == tuple(centre.counter("q07").level(service) for service in ("thue", "vpdkdd", "cat"))


def test_the_less_flexible_counter_comes_first():
    """Among counters of one level the one with fewer lines stands first, so that helpers stay free."""
    raw = small(counters__0__serves=[{"service": "land"}, {"service": "police", "level": 2}])
    raw["counters"].append({"id": "q03", "number": 3, "name": "Quầy 3", "zone": "a", "serves": [{"service": "land"}]})

    assert ["q03", "q01", "q02"] == [counter.id for counter in build(raw).counters_of("land")]


@pytest.mark.parametrize(
    ("counters", "sizes"),
    [
        (1, [1]),
        (2, [2]),
        (3, [3]),
        (4, [4]),
        (5, [3, 2]),
        (7, [4, 3]),
        (8, [3, 3, 2]),
        (10, [4, 3, 3]),
        (11, [3, 3, 3, 2]),
    ],
)
def test_a_line_is_cut_into_neighbourhoods_of_about_three(counters, sizes):
    """max(1, floor(n/3 + 1/2)) runs, sizes one apart at most, longer runs first, nobody left out."""
    numbers = range(1, counters + 1)
    raw = small(
        counters=[
            {"id": f"q{n:02}", "number": n, "name": f"Quầy {n}", "zone": "a", "serves": [{"service": "land"}]}
            for n in numbers
        ]
    )
    raw["departments"].pop()
    raw["services"].pop()
    runs = clusters(build(raw), "land")

    assert sizes == [len(run) for run in runs]
    assert list(numbers) == [counter.number for run in runs for counter in run]


def test_a_line_nobody_serves_has_no_neighbourhood():
    nobody = msgspec.structs.replace(build(SMALL), counters=())

    assert () == clusters(nobody, "land")


@pytest.mark.parametrize(
    ("numbers", "label"),
    [
        ([5], "5"),
        ([5, 6], "5–6"),
        ([7, 5, 6], "5–7"),
        ([5, 8], "5, 8"),
        ([1, 2, 3, 7], "1–3, 7"),
        ([5, 5], "5"),
        ([], ""),
    ],
)
def test_a_set_of_counters_is_written_as_people_read_it(numbers, label):
    assert label == counter_label(numbers)


def test_hours_open_and_close():
    """The first minute of a session belongs to it, its last does not; numbers have hours of their own."""
    hours = build(SMALL).hours

    assert (False, True, True, False) == tuple(hours.is_open(0, minute) for minute in (449, 450, 689, 690))
    assert (False, True, False) == tuple(hours.is_issuing(1, minute) for minute in (434, 435, 675))
    assert not hours.is_open(2, 480)


def test_policy_answers_promises_and_windows():
    policy = Policy()

    assert (1800, 300, 300) == tuple(policy.promise_s(cls) for cls in CLASSES)
    assert (300, 180, 0) == tuple(policy.window(mode) for mode in ("counter", "cluster", "department"))


# The documented schema ----------------------------------------------------------------------------------------


def test_the_document_lists_every_setting_and_no_other():
    """docs/centre-file.md has a section for each table with exactly its settings."""
    text = (ROOT / "docs" / "centre-file.md").read_text(encoding="utf-8")
    sections = {part.splitlines()[0]: part for part in text.split("\n## ")[1:]}
    tables = [kind for kind in vars(words).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]

    for table in tables:
        if table.__subclasses__():  # what others are made of
            continue
        listed = {
            setting
            for row in re.findall(r"^\| (`[^|]+) \|", sections[table.__name__], flags=re.MULTILINE)
            for setting in re.findall(r"`(\w+)`", row)
        }
        assert {entry.encode_name for entry in msgspec.structs.fields(table)} == listed, table.__name__
