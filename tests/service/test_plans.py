"""What if: a plan is asked for over HTTP and played in a process of its own."""

from __future__ import annotations

import msgspec
import pytest

from queue_service.app import EXAMPLES, play_plan
from queue_service.centre import load_centre
from service_world import House


async def test_a_plan_is_played_through_the_real_core():
    """Lines for the whole centre and its departments, with an interval of the change."""
    centre = load_centre(EXAMPLES / "demo-xa.toml")
    plan = {"level": "low", "days": 2, "seed": 3, "close": ("q01",), "open": (), "serve": {"q05": {"tpht": 2}}}

    result = msgspec.json.decode(await play_plan(centre, plan))

    whole, *departments = result["lines"]
    assert whole["department"] == ""
    assert {line["department"] for line in departments} <= {department.id for department in centre.departments}
    assert whole["people"] > 10
    assert whole["p90"]["low"] <= whole["p90"]["after"] - whole["p90"]["before"] <= whole["p90"]["high"]


@pytest.mark.parametrize(
    "body", [{"close": ["nowhere"]}, {"days": 1}, {"level": "busy"}, {"serve": {"q01": {"nowhere": 1}}}]
)
async def test_a_plan_that_makes_no_sense_is_refused(house: House, body):
    """At once, with a sentence."""
    answer = await house.chief.press("plans", body)

    assert answer.status in (400, 404)
    assert answer.value["code"]
