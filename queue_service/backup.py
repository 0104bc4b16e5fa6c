"""
A backup: the whole installation in one file, and back again.

The file is a compressed tar: `manifest.json`, what the store holds of each centre as of one moment, the installation's
own keys, the key of its slips where a file holds it, and each table of the archive.  The archive is read first, so that
the store is never behind it.  A backup reads with the commands that the service's user has anyway (deploy/users.acl).

A restore checks everything before it changes anything.  Numbers may have been given out after the backup was taken, so
each department leaves some out; and events have happened, so each centre begins a new order of events.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final, NamedTuple, cast

import msgpack
import msgspec

from queue_service.archive import portable
from queue_service.archive.archive import Archive, known_revisions
from queue_service.archiver import LEASE as COPYING
from queue_service.centre import Centre, build
from queue_service.clock import business_day
from queue_service.commands import AdvanceDay, Command, Press, RenewEpoch
from queue_service.dispatch import SYSTEM, Dispatch, new_epoch
from queue_service.identity import hash_keys
from queue_service.keys import CentreKeys, centre_keys
from queue_service.slip_key import FILE as SLIP_KEY
from queue_service.slip_key import SlipKey
from queue_service.store import CENTRES_KEY, lease_key, telling
from queue_service.sweeper import LEASE as SWEEPING

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
AT_ONCE: Final = 1000
"""Fields, members or events of one command."""
SKIP: Final = 100
"""Numbers of each department that a restore leaves out unless told."""

LINES: Final = ("waiting", "announced")
"""Names of a centre's keys that are ordered sets; `events` is a stream, all others are hashes."""

INSTALLATION_KEYS: Final = hash_keys()
"""Hashes that belong to no centre."""


class BackupRefused(Exception):
    """The backup or the restore was refused and nothing was changed; the text says why in one sentence."""


class Part(msgspec.Struct, frozen=True):
    """One member of the file."""

    size: int
    sha256: str


class Mark(msgspec.Struct, frozen=True):
    """Where a centre was when its part was taken."""

    epoch: str
    seq: int
    day: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """What a backup says of itself."""

    format: int
    taken_at_ms: int
    centres: dict[str, Mark]
    revision: str
    tables: dict[str, int]
    parts: dict[str, Part]


class Restored(NamedTuple):
    """What was restored; *unlike* is a sentence when the slips' key in force may not be that of the backup."""

    manifest: Manifest
    unlike: str | None


@dataclass(frozen=True)
class Installation:
    """
    Both memories of an installation.

    Args:
        client: speaks to the store.
        dispatch: knows its centres, and the time.
    """

    client: Any  # a Redis that decodes nothing: redis-py's types cannot say that
    dispatch: Dispatch
    archive: Archive
    slip_key: SlipKey

    # -- backup --------------------------------------------------------------------------------------------------------

    async def backup(self, file: Path) -> Manifest:
        """
        Write everything to *file*; it is there whole or not at all.

        Raises:
            StoreAway, ArchiveAway: one of the two does not answer.
            OSError: the file cannot be written.
        """
        with TemporaryDirectory(dir=file.absolute().parent, prefix=f".{file.name}-") as name:
            folder = Path(name)
            revision, tables = await portable.unload(self.archive, _parts(folder, "archive"))
            now_ms = self.dispatch.clock.now_ms()
            with _parts(folder, "store")("installation") as part:
                part.write(_packed(await self._read_hashes(INSTALLATION_KEYS)))
            marks = {}
            for centre in await self.dispatch.store.centre_ids():
                with _parts(folder, "store/centres")(centre) as part:
                    async for some in self._read_centre(centre):
                        part.write(_packed(some))
                        if "day" in some:
                            day = {name.decode(): value.decode() for name, value in some["day"].items()}
                            marks[centre] = Mark(day["epoch"], int(day["seq"]), day["day"])
            if (key := self.slip_key.kept()) is not None:
                (folder / SLIP_KEY).write_text(key, "ascii")
            manifest = Manifest(FORMAT, now_ms, marks, revision, tables, _digests(folder))
            _write_tar(file, folder, manifest)
        return manifest

    async def _read_hashes(self, keys: tuple[str, ...]) -> dict[str, dict[bytes, bytes]]:
        with telling():
            async with self.client.pipeline(transaction=True) as step:
                for key in keys:
                    step.hgetall(key)
                return dict(zip(keys, await step.execute(), strict=True))

    async def _read_centre(self, centre: str) -> AsyncIterator[dict[str, Any]]:
        """Everything but the log as of one moment, then the log up to that moment: what is in it does not change."""
        keys = centre_keys(centre)
        names = [field.name for field in fields(CentreKeys) if field.name != "events"]
        with telling():
            async with self.client.pipeline(transaction=True) as step:
                for name in names:
                    key = getattr(keys, name)
                    if name in LINES:
                        step.zrange(key, 0, -1, withscores=True)
                    else:
                        step.hgetall(key)
                content = dict(zip(names, await step.execute(), strict=True))
        yield content
        last, after = int(content["day"][b"seq"]), 0
        while after < last:
            with telling():
                entries = await self.client.xrange(keys.events, f"({after}-0", f"{last}-0", count=AT_ONCE)
            if not entries:
                return
            after = int(entries[-1][0].partition(b"-")[0])
            yield {"events": [[id, fields[b"e"]] for id, fields in entries]}

    # -- restore -------------------------------------------------------------------------------------------------------

    async def restore(self, file: Path, *, replace: bool, skip: int = SKIP) -> Restored:
        """
        Put the backup in *file* in the place of all that the installation holds.

        Args:
            replace: whether something may be there.
            skip: numbers that each department leaves out, at most half of what it has left; they may have been given
                out after the backup.

        Raises:
            BackupRefused: nothing was changed.
            StoreAway, ArchiveAway: one of the two does not answer any more; repeat with *replace*.
            OSError: the key of the slips cannot be written; the same.
        """
        with _open_tar(file) as tar:
            manifest = _checked(tar)
            there = await self._check_target(replace)
            rows = {name: _unpacked(tar, f"archive/{name}") for name in manifest.tables}
            await portable.load(self.archive, manifest.revision, cast("dict[str, portable.Rows]", rows))
            unlike = self.slip_key.put(_bytes(tar, SLIP_KEY).decode() if SLIP_KEY in manifest.parts else None)
            given_out = {centre: await self._clear(centre) for centre in there}
            with telling():
                await self.client.delete(CENTRES_KEY, *INSTALLATION_KEYS)
                for key, fields in next(_unpacked(tar, "store/installation")).items():
                    await self._put_hash(key, fields)
            for centre in manifest.centres:
                await self._put_centre(
                    centre, _unpacked(tar, f"store/centres/{centre}"), skip, given_out.get(centre, {})
                )
        return Restored(manifest, unlike)

    async def _check_target(self, replace: bool) -> list[str]:
        """
        The centres that are there.

        Raises:
            BackupRefused: a worker runs, or something is there and may not be replaced.
        """
        store = self.dispatch.store
        with telling():
            if await self.client.exists(lease_key(SWEEPING), lease_key(COPYING)):
                raise BackupRefused("A worker runs on this store, or ran half a minute ago; stop all, wait and repeat.")
            centres = await store.centre_ids()
            has_keys = bool(await self.client.exists(*INSTALLATION_KEYS))
        is_empty = not centres and not has_keys and await portable.is_empty(self.archive)
        if not (is_empty or replace):
            raise BackupRefused("Store or archive hold something already; --replace gives it up for the backup.")
        return centres

    async def _clear(self, centre: str) -> dict[str, int]:
        """Take *centre* out of the store; the last number that each ``day/department`` had given out."""
        keys = centre_keys(centre)
        with telling():
            day, sequences = await self.client.hget(keys.day, "day"), await self.client.hgetall(keys.sequences)
            await self.client.delete(*keys.as_list())
        return {f"{(day or b'').decode()}/{name.decode()}": int(n) for name, n in sequences.items()}

    async def _put_centre(self, id: str, parts: Iterator[dict[str, Any]], skip: int, given_out: dict[str, int]) -> None:
        """Put a centre's keys there; in the last step the centre becomes one of the installation."""
        keys = centre_keys(id)
        content = next(parts)
        centre = build(msgspec.json.decode(content["centre"][b"file"]))
        with telling():
            await self.client.delete(*keys.as_list())
            for name, held in content.items():
                if name in LINES:
                    for start in range(0, len(held), AT_ONCE):
                        await self.client.zadd(getattr(keys, name), dict(held[start : start + AT_ONCE]))
                else:
                    await self._put_hash(getattr(keys, name), held)
            for part in parts:
                async with self.client.pipeline(transaction=False) as step:
                    for entry, event in part["events"]:
                        step.xadd(keys.events, {b"e": event}, id=entry)
                    await step.execute()
        version = content["day"][b"version"].decode()
        await self._press(id, RenewEpoch(epoch=new_epoch()), version)
        day = max(business_day(self.dispatch.clock.now_ms(), centre.timezone), content["day"][b"day"].decode())
        if day > content["day"][b"day"].decode():  # else the first worker would begin it, and its numbers with it
            await self._press(id, AdvanceDay(day=day), version)
        with telling():
            sequences = await self.client.hgetall(keys.sequences)
            await self._put_hash(keys.sequences, _moved_on(centre, sequences, skip, day, given_out))
        await self.dispatch.configure(centre)

    async def _press(self, centre: str, command: Command, version: str) -> None:
        press_id = f"{SYSTEM}|{command.function}|restore-{secrets.token_hex(8)}"
        press = Press(press_id=press_id, actor=SYSTEM, now_ms=self.dispatch.clock.now_ms(), over=True)
        await self.dispatch.store.carry_out(centre, command, press, version)

    async def _put_hash(self, key: str, fields: dict[bytes, bytes]) -> None:
        items = list(fields.items())
        for start in range(0, len(items), AT_ONCE):
            await self.client.hset(key, mapping=dict(items[start : start + AT_ONCE]))


def _moved_on(
    centre: Centre, sequences: dict[bytes, bytes], skip: int, day: str, given_out: dict[str, int]
) -> dict[bytes, bytes]:
    """The last number that each department counts as given out on *day*: behind what may have been given out since."""
    moved = {}
    for department in centre.departments:
        last = int(sequences.get(department.id.encode(), 0))
        room = department.daily_cap - last
        last = max(last + min(skip, max(room, 0) // 2), given_out.get(f"{day}/{department.id}", 0))
        moved[department.id.encode()] = str(last).encode()
    return moved


def _parts(folder: Path, below: str) -> Callable[[str], BinaryIO]:
    """Opens the parts *below* a folder of the file."""
    (folder / below).mkdir(parents=True, exist_ok=True)
    return lambda name: (folder / below / name).open("wb")


def _packed(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


def _digests(folder: Path) -> dict[str, Part]:
    parts = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as part:
            digest = hashlib.file_digest(part, "sha256").hexdigest()
        parts[str(path.relative_to(folder))] = Part(path.stat().st_size, digest)
    return parts


def _write_tar(file: Path, folder: Path, manifest: Manifest) -> None:
    """Everything in *folder* as *file*, for our own eyes: it holds what people were called and what they came for."""
    beside = folder / file.name
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
        with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=3) as tar:
            said = msgspec.json.format(msgspec.json.encode(manifest))
            member = tarfile.TarInfo(MANIFEST)
            member.size, member.mtime, member.mode = len(said), manifest.taken_at_ms // 1000, 0o600
            tar.addfile(member, BytesIO(said))
            for name in manifest.parts:
                tar.add(folder / name, arcname=name, filter=_as_ours)
        raw.flush()
        os.fsync(raw.fileno())
    beside.replace(file)


def _as_ours(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """For whoever unpacks it, and nobody else."""
    member.mode, member.uid, member.gid = 0o600, 0, 0
    member.uname = member.gname = ""
    return member


def _open_tar(file: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(file, "r:gz")
    except (tarfile.TarError, EOFError, OSError) as fault:
        raise BackupRefused(f"{file} cannot be read as a backup ({fault}).") from fault


def _checked(tar: tarfile.TarFile) -> Manifest:
    """
    The manifest, when all that it names is there, unchanged, and of a version that we understand.

    Raises:
        BackupRefused: it is not.
    """
    try:
        members = {member.name: member for member in tar.getmembers()}
        manifest = msgspec.json.decode(_bytes(tar, MANIFEST), type=Manifest)
    except (tarfile.TarError, EOFError, OSError, KeyError, msgspec.MsgspecError) as fault:
        raise BackupRefused(f"The file is no backup, or it was cut ({fault}).") from fault
    if manifest.format > FORMAT:
        raise BackupRefused("The backup is of a newer version of the service; install that version.")
    if manifest.revision not in known_revisions():
        raise BackupRefused("The archive in the backup is of a newer version of the service; install that version.")
    if members.keys() - {MANIFEST} != manifest.parts.keys():
        raise BackupRefused("The backup does not hold what its manifest names.")
    for name, part in manifest.parts.items():
        content = tar.extractfile(name)
        if content is None or (part.size, part.sha256) != (
            members[name].size,
            hashlib.file_digest(content, "sha256").hexdigest(),  # type: ignore[arg-type] # it reads like a file
        ):
            raise BackupRefused(f"{name} in the backup is not as it was written.")
    return manifest


def _bytes(tar: tarfile.TarFile, name: str) -> bytes:
    content = tar.extractfile(name)
    if content is None:
        raise KeyError(name)
    return content.read()


def _unpacked(tar: tarfile.TarFile, name: str) -> Iterator[Any]:
    """The values of a part, one after the other."""
    return iter(msgpack.Unpacker(tar.extractfile(name), strict_map_key=False, max_buffer_size=0))
