"""v2: who is in the channel, what an agent says by itself, and how it is joined."""

from __future__ import annotations

import base64
import binascii
import re

from ....protocol.agent_bodies import show
from ...describe import Changes
from ...options import Encryption, Filler, Silence
from ..reading import Given, Target, to

FAREWELL_SECONDS = 30.0
"""Where leaving waits and nobody says how long."""

SESSION: dict[str, Target] = {
    "enable_string_uid": to("string_uid"),
    "labels": to("labels"),
    "parameters.enable_metrics": to("metrics"),
    "parameters.enable_error_message": to("error_messages"),
}


def session(given: Given) -> Changes:
    """What these fields mean together; those that mean something each for itself are in SESSION."""
    _check_uids(given)
    string_uid, others = given.get("enable_string_uid", False), given.get("remote_rtc_uids", [])
    remote = [user_id(uid, string_uid=string_uid) for uid in others]
    everyone = "*" in remote or ("0" in remote and not string_uid)  # no user is 0, which v1 has for everyone
    changes: Changes = {
        "uid": user_id(given.get("agent_rtc_uid", "0"), string_uid=string_uid),
        "remote_uids": [] if everyone else remote,
    }
    changes |= _filler(given.below("filler_words")) | _silence(given.below("parameters.silence_config"))
    if given.get("parameters.farewell_config.graceful_enabled"):
        seconds = given.get("parameters.farewell_config.graceful_timeout_seconds", FAREWELL_SECONDS)
        changes["farewell_seconds"] = float(seconds)
    return changes | _encryption(given.below("rtc"))


def user_id(uid: str | int, *, string_uid: bool) -> str:
    """A user id as it is compared: one that is a number has one way to be written, without zeros before it."""
    return str(int(uid)) if not string_uid and re.fullmatch("[0-9]+", str(uid)) else str(uid)


def _check_uids(given: Given) -> None:
    if given.get("enable_string_uid"):
        return
    uids = [("agent_rtc_uid", given.get("agent_rtc_uid", "0"))]
    uids += [("remote_rtc_uids", uid) for uid in given.get("remote_rtc_uids", ()) if uid != "*"]
    for name, uid in uids:
        if not (re.fullmatch(r"[0-9]{1,10}", str(uid)) and int(uid) < 2**32):
            must = "must be a number 0..4294967295, as a string, unless enable_string_uid is true"
            given.refuse(name, f"{must}, got {show(uid)}")


def _filler(given: Given) -> Changes:
    """It is enabled where it is there at all."""
    if not given.found:
        return {}
    phrases = given.get("content.static_config.phrases")
    if phrases is None:
        also = ", which are said in place of generated ones" if given.get("content.mode") == "generated" else ""
        given.must("content.static_config.phrases", f"1 to 100 strings{also}")
        return {}
    return {
        "filler": Filler(
            wait_ms=given.get("trigger.fixed_time_config.response_wait_ms", 1500),
            phrases=phrases,
            order=given.get("content.static_config.selection_rule", "shuffle"),
        )
    }


def _silence(given: Given) -> Changes:
    if not given.get("timeout_ms"):
        return {}
    if not given.get("content", "").strip():
        given.must("content", "a text, where timeout_ms is not 0")
    return {
        "silence": Silence(
            timeout_ms=given.get("timeout_ms"), action=given.get("action", "speak"), content=given.get("content", "")
        )
    }


def _encryption(given: Given) -> Changes:
    key, mode = given.get("encryption_key", ""), given.get("encryption_mode")
    if not key:
        for name in ("encryption_mode", "encryption_salt"):
            if given.get(name):
                given.refuse(name, "needs rtc.encryption_key: without a key nothing is encrypted")
        return {}
    if mode is None:
        given.must("encryption_mode", "an integer 1..8, with encryption_key")
        return {}
    try:
        salt = base64.b64decode(given.get("encryption_salt", ""), validate=True)
    except (binascii.Error, ValueError):
        salt = b""
    if mode in (7, 8) and len(salt) != 32:
        given.refuse("encryption_salt", f"must be base64 of 32 bytes, with encryption_mode {mode}")
    return {"encryption": Encryption(key=key, mode=mode, salt=salt if mode in (7, 8) else b"")}
