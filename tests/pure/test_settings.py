"""What the environment may say, and what stops a start."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from queue_service.settings import EXPLAINED, Settings, SettingsError, read_settings


def test_an_empty_environment_gives_this_machine_only_and_our_own_server():
    """Nothing has to be set for a first start."""
    settings = read_settings({"PATH": "/bin", "HOME": "/root"})

    assert Settings() == settings
    assert ("127.0.0.1", 8080, Path("var"), None) == (
        settings.host,
        settings.port,
        settings.data_dir,
        settings.redis_url,
    )


def test_every_setting_is_read():
    """Each name of the table reaches its field."""
    settings = read_settings(
        {
            "QUEUE_HOST": "::1",
            "QUEUE_PORT": "0",
            "QUEUE_DATA_DIR": "/srv/queue",
            "QUEUE_REDIS_URL": "unix:///run/redis.sock",
            "QUEUE_DATABASE_URL": "postgresql://queue:secret@db/queue",
            "QUEUE_KEEP_DAYS": "1825",
            "QUEUE_SLIP_KEY": "0f" * 32,
            "QUEUE_CENTRES": os.pathsep.join(["a.toml", "b/c.toml", ""]),
            "QUEUE_LOG": "console",
            "QUEUE_PUBLIC_URL": "https://queue.example/",
        }
    )

    assert settings == Settings(
        host="::1",
        port=0,
        data_dir=Path("/srv/queue"),
        redis_url="unix:///run/redis.sock",
        database_url="postgresql://queue:secret@db/queue",
        keep_days=1825,
        slip_key="0f" * 32,
        centres=(Path("a.toml"), Path("b/c.toml")),
        log="console",
        public_url="https://queue.example",
    )


def test_the_explanations_and_the_fields_are_the_same_set():
    """An operator finds every setting explained, and no other."""
    assert {f"QUEUE_{field.name.upper()}" for field in fields(Settings)} == set(EXPLAINED)


def test_an_empty_value_counts_as_not_given():
    """`QUEUE_PORT= queue-service run` starts as if the name were not there."""
    assert read_settings({"QUEUE_PORT": "", "QUEUE_REDIS_URL": "  "}) == Settings()


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"QUEUE_PROT": "80"}, "QUEUE_PROT is no setting of this service; did you mean QUEUE_PORT?"),
        ({"QUEUE_X": "1"}, "QUEUE_X is no setting of this service; known are QUEUE_HOST"),
        ({"QUEUE_PORT": "http"}, "QUEUE_PORT is 'http'; it must be a number from 0 to 65535."),
        ({"QUEUE_PORT": "65536"}, "from 0 to 65535"),
        ({"QUEUE_PORT": "-1"}, "from 0 to 65535"),
        ({"QUEUE_KEEP_DAYS": "29"}, "from 30 to 36500"),
        ({"QUEUE_KEEP_DAYS": "ever"}, "from 30 to 36500"),
        ({"QUEUE_PORT": "²"}, "from 0 to 65535"),
        ({"QUEUE_HOST": "http://localhost"}, "QUEUE_HOST"),
        ({"QUEUE_LOG": "xml"}, "QUEUE_LOG is 'xml'; it must be json or console."),
        ({"QUEUE_REDIS_URL": "http://h"}, "QUEUE_REDIS_URL must begin with redis:// or rediss:// or unix://."),
        ({"QUEUE_REDIS_URL": "redis://"}, "QUEUE_REDIS_URL names no host."),
        ({"QUEUE_REDIS_URL": "unix://"}, "QUEUE_REDIS_URL names no file."),
        ({"QUEUE_REDIS_URL": "redis://h:port"}, "QUEUE_REDIS_URL is no address"),
        ({"QUEUE_DATABASE_URL": "mysql://h/d"}, "QUEUE_DATABASE_URL must begin with sqlite:// or postgresql://."),
        ({"QUEUE_DATABASE_URL": "postgresql:///queue"}, "QUEUE_DATABASE_URL names no host."),
        ({"QUEUE_DATABASE_URL": "sqlite://"}, "QUEUE_DATABASE_URL names no file"),
        ({"QUEUE_DATABASE_URL": "sqlite://var/archive.db"}, "QUEUE_DATABASE_URL names no file"),
        ({"QUEUE_DATABASE_URL": "sqlite:///:memory:"}, "QUEUE_DATABASE_URL names no file"),
        ({"QUEUE_PUBLIC_URL": "queue.example"}, "QUEUE_PUBLIC_URL must begin with http:// or https://."),
    ],
)
def test_a_faulty_value_stops_the_start_with_a_sentence(environ, sentence):
    """The sentence names the setting and what would be right."""
    with pytest.raises(SettingsError) as stop:
        read_settings(environ)

    assert sentence in str(stop.value)
    assert 3 == stop.value.exit_code


def test_all_faults_are_told_at_once():
    """Nobody has to start five times to mend five mistakes."""
    with pytest.raises(SettingsError) as stop:
        read_settings({"QUEUE_PROT": "1", "QUEUE_PORT": "x", "QUEUE_LOG": "x"})

    assert 3 == len(str(stop.value).splitlines())


@pytest.mark.parametrize("url", ["rdis://user:s3cret@h", "redis://user:s3cret", "redis://user:s3cret/@h"])
def test_a_faulty_address_does_not_show_its_password(url):
    """The sentence lands in logs."""
    with pytest.raises(SettingsError) as stop:
        read_settings({"QUEUE_REDIS_URL": url})

    assert "s3cret" not in str(stop.value)


def test_the_archive_is_in_the_data_folder_unless_told_otherwise():
    """A database may be reached by a socket's folder as well as by a host."""
    assert f"sqlite:///{Path.cwd() / 'there/archive.db'}" == read_settings({"QUEUE_DATA_DIR": "there"}).archive_url
    for url in ("sqlite:////srv/archive.db", "postgresql://queue@/queue?host=/run/postgresql"):
        assert url == read_settings({"QUEUE_DATABASE_URL": url}).archive_url


def test_settings_are_frozen():
    """Nobody changes how a process runs while it runs."""
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


def test_a_key_that_is_none_is_not_shown():
    """The sentence says how to make one, and never what was given."""
    with pytest.raises(SettingsError) as faulty:
        read_settings({"QUEUE_SLIP_KEY": "secret-but-short"})
    assert "openssl rand -hex 32" in str(faulty.value)
    assert "secret-but-short" not in str(faulty.value)
