"""lipwire.process.spawn: a function in a process of its own. A module is what every other test here spawns."""

from __future__ import annotations

import functools
import logging

import pytest

from lipwire.process.spawn import Target
from support.child import Die, Said, serve
from support.child_owner import Owner


async def test_a_function_in_a_process_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner()
    spawn = Target(serve, "from there", name="lipwire-test")
    supervisor = owner.supervisor("", spawn=spawn, backoff=(0.0,), logger=logging.getLogger("lipwire.test"))
    supervisor.start()
    await owner.until(lambda: owner.said)
    assert owner.said == [Said("from there", supervisor.pid or 0)]
    supervisor.tell(Die(7))
    await owner.until(lambda: len(owner.said) == 2)
    assert owner.deaths[0].code == 7
    assert [record.name for record in caplog.records if "with code 7" in record.message] == ["lipwire.test"]
    await supervisor.close()
    assert supervisor.ended is not None and supervisor.ended.code == 0


async def test_what_does_not_pickle_is_a_death_with_a_reason(caplog: pytest.LogCaptureFixture) -> None:
    owner = Owner()
    supervisor = owner.supervisor("", spawn=Target(functools.partial(serve), lambda: None, name="x"), backoff=(60.0,))
    supervisor.start()
    assert len(owner.deaths) == 1 and owner.deaths[0].code is None
    assert "could not be started: " in caplog.text and "pickle" in caplog.text
    await supervisor.close()
