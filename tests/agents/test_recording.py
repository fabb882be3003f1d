"""A recording in the place of the greeting: from a real server, in the formats that there are."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import av
import numpy as np
import pytest

from lipwire.agents import recording as r
from lipwire.agents.brains.base import ReplyAudio, ReplyFinished, ReplyStarted, ReplyText
from lipwire.agents.options import Greeting
from lipwire.agents.recording import GreetingSound, Recording
from lipwire.errors import BadData, LipwireError
from lipwire.outward import Outward
from support.recordings import PCM, RATE, Files, wav


def coded(kind: str, codec: str, rate: int) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.frombuffer(PCM, "<i2")[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
        fifo = av.AudioFifo()
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            part.pts = None
            fifo.write(part)
        while (block := fifo.read(stream.codec_context.frame_size or 960, partial=True)) is not None:
            block.pts = None
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return out.getvalue()


async def fetched(files: Files, outward: Outward | None = None, **more: Any) -> Recording:
    async with files:
        sound = GreetingSound(Greeting(audio_url=files.url, **more), outward)
        try:
            return await sound.get()
        finally:
            await sound.close()
            await sound.close()


@pytest.mark.parametrize(
    ("data", "rate"),
    [
        pytest.param(lambda: wav(), RATE, id="wav"),
        pytest.param(lambda: PCM, RATE, id="pcm"),
        pytest.param(lambda: coded("mp3", "libmp3lame", 24_000), 24_000, id="mp3"),
        pytest.param(lambda: coded("ogg", "libopus", 48_000), 48_000, id="ogg"),
    ],
)
async def test_recordings_of_every_kind(data: Any, rate: int) -> None:
    found = await fetched(Files(data()))
    assert {hz for _, hz in found.sound} == {rate} and found.ms == pytest.approx(500, abs=60)
    pcm = np.frombuffer(b"".join(pcm for pcm, _ in found.sound), "<i2").astype(float)
    assert 4000 < np.sqrt(np.mean(pcm**2)) < 7000, "as loud as it was"


async def test_plain_samples_have_the_rate_that_is_said() -> None:
    assert (await fetched(Files(PCM), audio_rate=8000)).ms == pytest.approx(1000)
    assert (await fetched(Files(PCM), audio_rate=96_000)).ms == pytest.approx(500 / 6, abs=2)
    assert (await fetched(Files(wav()), audio_rate=8000)).ms == pytest.approx(500), "a file says its own"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (Files(b"<html>There is no such file, and no sound either.</html>"), "it is no sound"),
        (Files(b""), "it is no sound"),
        (Files(wav()[:44]), "it is no sound"),
        (Files(wav(), status=404), "404"),
        (Files(wav(), wait=1.0), "did not come within 0.2 s"),
        (Files(bytes(61 * 2 * RATE)), "more than 60 s"),
        (Files(bytes(r.MAX_BYTES + 1)), "more than 16777216 bytes"),
    ],
)
async def test_what_cannot_be_had(files: Files, why: str) -> None:
    with pytest.raises(LipwireError, match=why):
        await fetched(files, audio_timeout_ms=200 if files.wait else 10_000)


async def test_a_url_of_a_request_leads_to_no_private_address() -> None:
    async with Files(wav()) as files:
        with pytest.raises(LipwireError, match="no public address"):
            await GreetingSound(Greeting(audio_url=files.url), Outward()).get()
        assert not files.received
        allowed = Outward(["127.0.0.1"])
        assert (await GreetingSound(Greeting(audio_url=files.url), allowed).get()).ms == pytest.approx(500)
        async with Files(b"", move="http://127.0.0.2:1/") as elsewhere:
            with pytest.raises(LipwireError, match=r"recording leads to 127\.0\.0\.2, which is no public address"):
                await GreetingSound(Greeting(audio_url=elsewhere.url), allowed).get()


async def test_it_is_fetched_once_and_again_where_that_failed() -> None:
    async with Files(wav(), status=503) as files:
        sound = GreetingSound(Greeting(audio_url=files.url, audio_timeout_ms=10_000), None)
        sound.start()
        for _ in range(2):
            with pytest.raises(LipwireError, match="503"):
                await sound.get()
        assert len(files.received) == 2
        files.status = 200
        assert await sound.get() is await sound.get() and len(files.received) == 3
        await sound.close()


async def test_who_stops_waiting_stops_nobody_else() -> None:
    async with Files(wav(), wait=0.2) as files:
        sound = GreetingSound(Greeting(audio_url=files.url), None)
        impatient = asyncio.create_task(sound.get())
        await asyncio.sleep(0.05)
        impatient.cancel()
        assert (await sound.get()).ms == pytest.approx(500) and len(files.received) == 1


async def test_it_is_handed_over_as_a_reply() -> None:
    found = await r.read(wav(), RATE)
    started, text, *sounds, finished = found.as_reply("g", "<face smile/>Welcome!", 5)
    assert started == ReplyStarted("g", 5) and text == ReplyText("g", "Welcome!", 0, 500)
    assert all(isinstance(sound, ReplyAudio) for sound in sounds) and finished == ReplyFinished("g", "Welcome!")
    assert [type(event) for event in found.as_reply("g", "", 5)][1] is ReplyAudio, "nothing is told of it"
    with pytest.raises(BadData):
        await r.read(b"{}" * 200, RATE)
