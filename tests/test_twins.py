"""Every module has its twin: tests/<folder>/test_<module>.py, or a test of several modules that is named here."""

from __future__ import annotations

from pathlib import Path

from support.paths import ROOT

PACKAGE, TESTS = ROOT / "python" / "lipwire", ROOT / "tests"

SEVERAL: dict[str, tuple[str, ...]] = {
    "agents/test_agent.py": ("actions", "config", "errors", "events", "turns", "video"),
    "agents/test_conversation.py": ("conversation_state",),
    "agents/brains/test_realtime.py": ("realtime_link", "realtime_output", "realtime_replies", "realtime_state"),
    "agents/brains/test_cascade.py": ("cascade_state",),
    "agents/brains/test_cascade_replies.py": ("generation",),
    "agents/brains/test_cascade_thinking.py": ("tools",),
    "agents/rest/test_actions.py": ("../../protocol/agent_actions",),
    "agents/brains/test_chat.py": ("completion", "dialects/base", "dialects/openai", "sse"),
    "agents/rest/test_wire.py": (
        *("../update", "sections/shared"),
        *(f"../../protocol/agent_bodies/{name}" for name in ("avatar", "fields", "processes", "replies", "v1")),
        *(
            f"../../protocol/agent_bodies/v2/{name}"
            for name in ("join", "llm", "mllm", "session", "speech", "tools", "turns")
        ),
    ),
    "agents/speech/test_realtime_tts.py": ("../realtime_socket",),
    "agents/speech/test_offline_stt.py": ("whisper_stt",),
    "agents/speech/test_speech.py": ("sphinx/stt", "stt", "tts", "vendors/openai", "vendors/service"),
    "agents/speech/test_vad.py": ("endpointing",),
    "agents/speech/vendors/test_choose.py": ("cartesia", "deepgram", "elevenlabs", "microsoft", "minimax"),
    "models/turn/test_smart_turn.py": ("engine",),
    "agents/speech/test_keywords.py": (
        "commands",
        "sphinx/recognizer",
        "sphinx/wire",
        "sphinx/worker",
        "whisper_spotter",
    ),
    "app/front/test_server.py": ("machine",),
    "app/test_agent_setup.py": ("agent_command",),
    "atlas/test_build.py": ("encode", "harvest", "moved", "picture", "proof", "stripes", "variants", "walk"),
    "audio/test_speech_file.py": ("decode", "mono"),
    "audio/test_sound_reader.py": ("container", "pcm", "wav"),
    "avatar/test_art.py": ("aria", "builtin", "figure", "kit", "ohm", "raster", "toon"),
    "avatar/test_manifest.py": ("artwork", "make", "source", "voice"),
    "avatar/test_web.py": ("packing", "rig"),
    "capture/test_replay.py": ("outcome", "resend", "session"),
    "channel/agora/test_channel.py": ("sdk",),
    "channel/agora/test_parts.py": ("codec", "data", "feed", "units", "wire", "worker"),
    "channel/room/test_room.py": ("browser", "channel", "microphone", "place", "watcher"),
    "cli/rig/test_quota.py": ("scaling",),
    "cli/rig/test_rig.py": ("calls", "command", "nodes", "speech", "watch"),
    "cli/test_keys.py": ("tokens",),
    "cli/density/test_density.py": (
        "command",
        "generator",
        "lanes",
        "measure",
        "report",
        "served",
        "talkers",
        "watchers",
        "worker",
    ),
    "cli/test_avatar.py": ("avatar_sheet", "../avatar/cache"),
    "cli/test_main.py": ("agent", "doctor", "entry", "options", "progress", "provider", "render", "../app/demo"),
    "cli/test_conformance.py": ("conformance_report",),
    "cluster/test_bus.py": ("memory_bus", "nats_bus"),
    "cluster/test_nats_placement.py": ("node", "talk"),
    "cluster/test_pool.py": ("placement", "view", "wire", "../app/worker"),
    "conformance/test_faults.py": (
        "rules/cases",
        "rules/feedback",
        "rules/handshake",
        "rules/http",
        "rules/life",
        "rules/messages",
        "rules/speech",
        "rules/timing",
    ),
    "conformance/test_report.py": ("wirelog",),
    "conformance/test_rule.py": ("target", "verdict"),
    "conformance/test_runner.py": ("client", "sound"),
    "core/test_core.py": ("../errors",),
    "core/test_resampler.py": ("../audio/resample",),
    "drawing/test_doors.py": ("frame_source", "hook", "process_source", "renderer", "source_worker", "stage"),
    "e2e/test_agent_page.py": ("../servers/rooms",),
    "e2e/test_agent_service.py": ("../agents/brains/base", "../agents/brains/echo"),
    "e2e/test_viewer_page.py": ("../servers/viewer",),
    "lipsync/test_sets.py": ("../audio/espeak",),
    "models/test_find.py": ("table",),
    "models/test_host.py": ("engine", "worker"),
    "models/voices/test_choose.py": ("catalogue", "espeak", "names", "pieces", "timing"),
    "models/voices/test_hibari.py": ("base", "english", "level", "shift"),
    "models/voices/test_live.py": ("engine", "speaker"),
    "models/voices/test_piper.py": ("graph", "kokoro", "phonemes"),
    "motion/head/test_build.py": ("cache", "dress", "expressions", "eyes", "mouth", "paint", "parts", "sculpt", "skin"),
    "motion/test_reader.py": ("track",),
    "provider/test_client.py": ("../audio/voice_decoder",),
    "provider/test_sessions.py": ("outbox",),
    "publish/test_motion.py": ("motion_queue",),
    "publish/test_motion_line.py": ("motion_track", "motion_video"),
    "publish/test_film.py": ("palette", "still"),
    "publish/test_live_writer.py": ("live_tracks",),
    "publish/test_restream.py": ("destination", "restream_wire", "restream_worker"),
    "publish/test_publish.py": ("file", "null", "peer", "pyav", "shared", "tee", "webrtc"),
    "servers/test_access.py": ("../app/owners",),
    "servers/test_http.py": ("metrics",),
    "session/test_session.py": ("runtime",),
    "session/test_beside.py": ("said",),
    "test_lazy.py": ("_lazy",),
}
"""Test -> modules, as seen from the folder of that name."""
NONE = {"__main__"}
"""`python -m lipwire` is two lines."""


def modules() -> set[str]:
    """Paths of all modules without ".py"; a package's `__init__` only gathers names."""
    found = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    return {path.as_posix() for path in found}


def twin(module: str) -> Path:
    path = Path(module)
    return TESTS / path.parent / f"test_{path.name}.py"


def named() -> list[str]:
    """The modules in the table."""
    found = []
    for test, names in SEVERAL.items():
        assert (TESTS / test).exists(), f"{test} is in the table of twins and not there"
        for name in names:
            found.append((PACKAGE / test).parent.joinpath(name).resolve().relative_to(PACKAGE.resolve()).as_posix())
    return found


def test_every_module_has_its_twin() -> None:
    alone = {module for module in modules() if not twin(module).exists()} - NONE
    missing = sorted(f"{module}.py: {twin(module).relative_to(ROOT)}" for module in alone - set(named()))
    assert missing == [], "write the test, or name the one that covers the module in the table of twins"


def test_the_table_of_twins_says_nothing_needless() -> None:
    names = named()
    assert sorted(names) == sorted(set(names)), "named twice"
    assert [name for name in names if name not in modules()] == [], "no such module"
    assert [name for name in names if twin(name).exists()] == [], "has a twin of its own"
