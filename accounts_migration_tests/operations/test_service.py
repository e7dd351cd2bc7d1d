"""The service: stopped, started and asked for its health, with real processes and real HTTP."""

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accounts_migration.errors import MigrationError, UsageError
from accounts_migration.operations.service import Service
from accounts_migration.settings import Settings, load_settings
from accounts_migration_tests.operations.api import Api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    served = Api(tmp_path / "api")
    try:
        yield served
    finally:
        served.end()


def service(**settings: Any) -> Service:
    return Service.of(Settings(**settings))


def test_a_service_is_started_becomes_healthy_and_is_stopped(api: Api) -> None:
    one = service(**api.settings)
    assert one.ask() is None
    assert one.start().startswith("the service was started (")
    health = one.wait_until_healthy()
    assert (health and health.status, api.runs) == (200, True)
    assert one.stop().startswith("the service was stopped (")
    assert (api.runs, one.ask(), api.commands) == (False, None, ["start", "stop"])


def test_an_http_error_is_not_healthy(api: Api) -> None:
    api.answers(503)
    api.start()
    one = service(**api.settings | {"service_timeout": 0.3})
    with pytest.raises(MigrationError, match="its last answer was HTTP 503 at http://127"):
        one.wait_until_healthy()
    assert one.ask() == 503


def test_health_is_waited_for_until_the_deadline_and_no_longer(api: Api) -> None:
    one = service(**api.settings | {"service_timeout": 0.5})
    began = time.monotonic()
    with pytest.raises(MigrationError, match="nothing answers at"):
        one.wait_until_healthy()
    assert 0.5 <= time.monotonic() - began < 3


def test_an_answer_that_never_comes_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert service(service_stop="", service_start="", service_health_url=url, service_timeout=0.3).ask() is None


def test_a_service_that_goes_on_answering_was_not_stopped(api: Api) -> None:
    api.start()
    one = service(**api.settings | {"service_stop": "true", "service_timeout": 0.3})
    with pytest.raises(MigrationError, match=r"it still answers at .* after true"):
        one.stop()


def test_a_proxy_that_answers_for_a_stopped_service_does_not_pass_for_it(api: Api) -> None:
    api.start()
    api.answers(502)
    one = service(**api.settings | {"service_stop": "true"})
    assert one.stop() == "the service was stopped (true)"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("no-such-program-of-mine stop", "no-such-program-of-mine: No such file or directory"),
        ("sh -c 'exit 3'", r"^Cannot \w+ the service\W+sh ended with status 3\."),
        ("sleep 30", r"sleep did not end within 0\.3 s"),
    ],
)
def test_a_configured_command_that_fails_is_an_error(command: str, why: str) -> None:
    one = service(
        service_stop=command,
        service_start=command,
        service_health_url="",
        service_timeout=0.3 if "sleep" in command else 10,
    )
    with pytest.raises(MigrationError, match=why) as stopping:
        one.stop()
    with pytest.raises(MigrationError, match=why) as starting:
        one.start()
    assert (stopping.value.what, starting.value.what) == ("Cannot stop the service", "Cannot start the service")
    assert ("SERVICE_STOP" in stopping.value.remedy, "SERVICE_START" in starting.value.remedy) == (True, True)


def test_neither_what_a_command_says_nor_its_arguments_are_told() -> None:
    """Either may hold a password, and an error goes into the log and the notice."""
    failing = f"{sys.executable} -c 'import sys; sys.exit(sys.argv[1])' secret"
    with pytest.raises(MigrationError, match="ended with status 1") as stopping:
        service(service_stop=failing, service_start="", service_health_url="").stop()
    assert "secret" not in str(stopping.value)
    assert "run it by hand to see what it says" in stopping.value.remedy
    done = service(service_stop="true secret", service_start="true secret", service_health_url="")
    assert (done.stop(), done.start()) == ("the service was stopped (true)", "the service was started (true)")


def test_a_command_that_leaves_a_process_running_does_not_hold_us_up(api: Api) -> None:
    """The service inherits what the command writes to: a pipe would stay open as long as it runs."""
    began = time.monotonic()
    service(**api.settings).start()
    assert (api.runs, time.monotonic() - began < 5) == (True, True)


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    marker = tmp_path / "made by a shell"
    one = service(service_stop=f"echo stopped; touch '{marker}'", service_start="", service_health_url="")
    assert one.stop() == "the service was stopped (echo)"
    assert not marker.exists()


def test_empty_commands_say_that_there_is_none() -> None:
    one = service(service_stop="", service_start="", service_health_url="")
    assert one.stop() == "there is no command to stop a service: its setting is empty"
    assert one.start() == "there is no command to start a service: its setting is empty"
    assert one.wait_until_healthy() is None


def test_where_nobody_configured_a_service_and_systemd_knows_none_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    one = service()
    sentence = (
        "there is no service here: SERVICE_STOP and SERVICE_START are not set, and systemd does not run on this machine"
    )
    assert (one.stop(), one.start(), one.health_url) == (sentence, sentence, "")
    # a health URL that somebody set is asked all the same
    assert service(service_health_url="http://127.0.0.1:1/x").health_url == "http://127.0.0.1:1/x"


def test_a_configured_service_has_the_usual_health_url() -> None:
    assert service(service_stop="true", service_start="true").health_url == "http://127.0.0.1:6600/api/health"


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"service_stop": "stop 'it"}, "Cannot read SERVICE_STOP"),
        ({"service_stop": "true", "service_start": 'start "it'}, "Cannot read SERVICE_START"),
        ({"service_health_url": "file:///etc/passwd"}, "Cannot read SERVICE_HEALTH_URL"),
        ({"service_health_url": "http://[::1"}, "Cannot read SERVICE_HEALTH_URL"),
        ({"service_health_url": "127.0.0.1:6600"}, "Cannot read SERVICE_HEALTH_URL"),
    ],
)
def test_a_setting_that_cannot_be_read_is_told(settings: dict[str, str], what: str) -> None:
    with pytest.raises(UsageError) as told:
        service(**settings)
    assert told.value.what == what


def test_a_password_in_the_health_url_is_not_told() -> None:
    one = service(
        service_stop="",
        service_start="",
        service_timeout=0.1,
        service_health_url="http://me:hush@127.0.0.1:1/h?key=hush",
    )
    with pytest.raises(MigrationError, match=r"http://127\.0\.0\.1:1/h,") as told:
        one.wait_until_healthy()
    assert "hush" not in str(told.value)


def test_an_empty_setting_means_no_service_and_a_missing_one_the_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SERVICE_STOP", "SERVICE_START", "SERVICE_HEALTH_URL"):
        monkeypatch.delenv(name, raising=False)
    assert load_settings().service_stop is None
    (tmp_path / ".env").write_text("SERVICE_STOP=\n")
    monkeypatch.setenv("SERVICE_HEALTH_URL", "")
    found = load_settings()
    assert (found.service_stop, found.service_start, found.service_health_url) == ("", None, "")
