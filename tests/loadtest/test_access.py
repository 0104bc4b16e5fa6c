"""A load goes to this machine only, and speaks for whom demo.json names."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.access import CentreAccess, Refused, Staff, loopback, read_access
from loadtest.demo import seats


@pytest.mark.parametrize("base", ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:9"])
def test_this_machine(base: str):
    """Addresses of this machine are taken as they are."""
    assert base.rstrip("/") == loopback(base)


@pytest.mark.parametrize("base", ["http://10.0.0.5:8080", "https://centre.example", "http://127.0.0.1.example", "x"])
def test_other_machines_are_refused(base: str):
    """A flood is not sent to anybody else, and the sentence says so."""
    with pytest.raises(Refused, match="not an address of this machine"):
        loopback(base)


def test_demo_json(tmp_path: Path):
    """What the service writes is read, and fields that it adds later are passed over."""
    file = tmp_path / "demo.json"
    file.write_text(
        '{"base":"http://127.0.0.1:1","more":1,"centres":{"demo-xa":{"kiosks":[{"id":"k1","token":"t"}],'
        '"staff":[{"name":"lan","password":"p","roles":["officer"],"counter":"q01"}]}}}'
    )

    access = read_access(file).centres["demo-xa"]

    assert ("k1", "lan") == (access.kiosks[0].id, access.with_role("officer")[0].name)
    assert () == access.with_role("supervisor")


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_no_usable_demo_json(tmp_path: Path, content: str | None):
    """Without the file, or with another, the sentence names it."""
    file = tmp_path / "demo.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(Refused, match=r"demo\.json"):
        read_access(file)


def a_centre(**own: str) -> dict[str, object]:
    counters = [{"id": id, "serves": [{"service": service, "level": 1}]} for id, service in own.items()]
    return {"counters": counters}


def an_officer(name: str, counter: str | None = None) -> Staff:
    return Staff(name=name, password="p", roles=("officer",), counter=counter)


def test_one_counter_of_each_department_stays_free():
    """A newcomer finds a free counter wherever there is more than one, and a sign-in that nobody uses."""
    centre = a_centre(q01="cat", q02="cat", q03="stp")
    staff = CentreAccess(staff=(an_officer("newcomer"), an_officer("b"), an_officer("c"))).with_role("officer")

    assert {"q02": "b", "q03": "c"} == {counter: officer.name for counter, officer in seats(centre, staff).items()}


def test_officers_sit_where_they_usually_do():
    """Who has a usual counter sits there or stays away; counters without anybody stay dark."""
    centre = a_centre(q01="cat", q02="cat", q03="stp")
    staff = (an_officer("newcomer", "q02"), an_officer("a", "q03"), an_officer("b", "q01"))

    assert {"q03": "a"} == {counter: officer.name for counter, officer in seats(centre, staff).items()}
    assert {"q03": "a", "q01": "b"} == {id: o.name for id, o in seats(centre, staff, leave_free=0).items()}
