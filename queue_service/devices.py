"""
Devices as administrators give them their tokens and take them away: checked against the centre, with a trace.

The tokens themselves are `identity.py`'s.  It knows no HTTP.
"""

from __future__ import annotations

import base64
import hashlib

from queue_service.audit import Audit
from queue_service.authority import Action, By, Identity, actor_of
from queue_service.dispatch import Dispatch
from queue_service.errors import Malformed, NotFound
from queue_service.identity import Device, Identities


class Devices:
    """
    The devices of all centres.

    Args:
        identities: knows tokens.
        dispatch: knows centres.
        audit: keeps the trace.
    """

    def __init__(self, identities: Identities, dispatch: Dispatch, audit: Audit) -> None:
        self._tokens, self._dispatch, self._audit = identities.devices, dispatch, audit

    async def list(self, centre: str) -> list[tuple[Device, int | None]]:
        """The devices of *centre*, oldest first, each with its last use, Unix ms to the minute."""
        found = await self._tokens.list(centre)
        seen = await self._tokens.seen([device.id for device in found])
        return [(device, seen.get(device.id)) for device in found]

    async def hear(self, by: Identity, centre: str, now_ms: int) -> None:
        """
        Remember that the page of a kiosk is at work.

        Raises:
            NotFound: the centre has no such kiosk any more.
        """
        configured = await self._dispatch.centre(centre)
        await self._dispatch.store.note_kiosk(centre, configured.kiosk(by.device or "").id, now_ms)

    async def create(self, *, role: str, centre: str, device: str | None, label: str, by: By) -> tuple[Device, str]:
        """
        A new device and its token, which is shown this once; a repeat of the press makes another for the same device.

        Args:
            device: the kiosk's or board's id in the centre's file; None for an integrator.

        Raises:
            UnknownCentre, NotFound: there is no such centre, or no such kiosk or board in it.
            Malformed: no device has such a role, or a kiosk or board is not named.
        """
        configured = await self._dispatch.centre(centre)
        if (role == "integrator") != (device is None):
            raise Malformed("device: a kiosk or board is one of the centre's file, an integrator is none.")
        places = configured.kiosks if role == "kiosk" else configured.boards
        if device is not None and device not in {place.id for place in places}:
            raise NotFound(f"The centre has no {role} {device}.")
        digest = hashlib.sha256(f"{actor_of(by.identity)}|{centre}|{by.press_id}".encode()).digest()
        made, token = await self._tokens.create(
            role=role,
            centre=centre,
            now_ms=by.now_ms,
            device=device,
            label=label,
            id=base64.urlsafe_b64encode(digest[:9]).decode() if by.press_id is not None else None,
        )
        self._note(made, "create-device", by)
        return made, token

    async def revoke(self, id: str, by: By, centre: str | None = None) -> Device:
        """
        Take a device's token away: its screens are dark and its presses refused within five seconds.

        Args:
            centre: whose it must be; None for any.

        Raises:
            NotFound: there is no such device.
        """
        found = await self._tokens.get(id)
        if found is None or (centre is not None and found.centre != centre):
            raise NotFound(f"There is no device {id} here, or it was revoked already.")
        await self._tokens.revoke(id)
        self._note(found, "revoke-device", by)
        return found

    def _note(self, device: Device, action: Action, by: By) -> None:
        self._audit.note(
            self._audit.entry(
                by.now_ms,
                centre=device.centre,
                actor=actor_of(by.identity),
                action=action,
                object=f"device:{device.id}",
                role=device.role,
                device=device.device,
                press=by.press_id,
            )
        )
