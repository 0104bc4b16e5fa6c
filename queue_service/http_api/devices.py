"""
Tokens of kiosks, boards and other programs, for administrators.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Struct

from queue_service.authority import By, Identity
from queue_service.contract import clean_text, operation
from queue_service.devices import Devices as Machines
from queue_service.dispatch import Dispatch
from queue_service.errors import NotFound
from queue_service.http_api.words import ADMINS, BASE, Body, Slug
from queue_service.identity import Device

DeviceRole = Literal["kiosk", "board", "integrator"]
DEVICES: Final = BASE + "/devices"


class NewDevice(Body, frozen=True):
    """A kiosk or board of the centre, or another program."""

    role: DeviceRole
    device: Slug | None = None
    """The kiosk's or board's id in the centre's file."""
    label: Annotated[str, clean_text(120)] = ""


class DeviceView(Struct, frozen=True, kw_only=True):
    """A device, without its token."""

    id: str
    role: str
    device: str | None
    label: str
    created_at_ms: int
    last_seen_at_ms: int | None
    """To the minute; null: never."""


class DevicesReply(Struct, frozen=True):
    """The oldest first."""

    devices: tuple[DeviceView, ...]


class DeviceReply(Struct, frozen=True):
    """A device."""

    device: DeviceView


class TokenReply(Struct, frozen=True):
    """A device and its token, which is shown this once."""

    device: DeviceView
    token: str


class Devices:
    """Tokens of kiosks, boards and other programs."""

    def __init__(self, machines: Machines, dispatch: Dispatch) -> None:
        self._machines = machines
        self._dispatch = dispatch

    @operation(
        "GET", DEVICES, summary="Devices with a token", roles=ADMINS, answers={200: DevicesReply}, tags=("devices",)
    )
    async def list_devices(self, centre: str) -> DevicesReply:
        """With the moment of last use."""
        await self._dispatch.centre(centre)
        return DevicesReply(tuple(_device(device, seen) for device, seen in await self._machines.list(centre)))

    @operation(
        "POST",
        BASE + "/heartbeat",
        summary="A kiosk is at work",
        roles=("kiosk",),
        answers={204: None},
        refusals=(NotFound,),
        tags=("devices",),
    )
    async def hear_kiosk(self, centre: str, identity: Identity) -> None:
        """Said by the page itself once a minute; supervisors are told of a kiosk that has fallen silent."""
        await self._machines.hear(identity, centre, self._dispatch.clock.now_ms())

    @operation(
        "POST",
        DEVICES,
        summary="A token for a device",
        roles=ADMINS,
        press=True,
        body=NewDevice,
        answers={201: TokenReply},
        tags=("devices",),
    )
    async def create_device(self, centre: str, body: NewDevice, press_id: str, identity: Identity) -> TokenReply:
        """The token is shown this once.  A repeat of the press makes another for the same device."""
        by = By(identity, self._dispatch.clock.now_ms(), press_id)
        device, token = await self._machines.create(
            role=body.role, centre=centre, device=body.device, label=body.label, by=by
        )
        return TokenReply(_device(device, None), token)

    @operation(
        "POST",
        DEVICES + "/{device}/revoke",
        summary="Take a device's token away",
        roles=ADMINS,
        press=True,
        answers={200: DeviceReply},
        tags=("devices",),
    )
    async def revoke_device(self, centre: str, device: str, press_id: str, identity: Identity) -> DeviceReply:
        """Its screens are dark and its presses refused within five seconds."""
        await self._dispatch.centre(centre)
        by = By(identity, self._dispatch.clock.now_ms(), press_id)
        return DeviceReply(_device(await self._machines.revoke(device, by, centre), None))


def _device(device: Device, seen_at_ms: int | None) -> DeviceView:
    return DeviceView(
        id=device.id,
        role=device.role,
        device=device.device,
        label=device.label,
        created_at_ms=device.created_at_ms,
        last_seen_at_ms=seen_at_ms,
    )
