"""Fakes of the vendors of speech: ElevenLabs, Cartesia, Deepgram, MiniMax and Azure, each with its own protocol."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
from websockets.asyncio.server import ServerConnection

from lipwire import resample

from .chat import tone
from .server import Break, HttpFake, Request, Response
from .sockets import SocketFake, Voice

# ------------------------------------------------------------------------------------------------------ text to speech


class _Speaks(SocketFake):
    async def pieces(self, ws: ServerConnection, pcm: bytes, rate: int) -> Any:
        """(sound, seconds in front of it), in pieces of 100 ms and an odd byte more; the connection may be cut."""
        cut = self.cut_after.pop(0) if self.cut_after else None
        await asyncio.sleep(self.latency)
        size = rate // 5 + 1
        for number, i in enumerate(range(0, len(pcm), size)):
            if number == cut:
                ws.transport.abort()
                await ws.wait_closed()
            if number and self.speed:
                await asyncio.sleep(0.1 / self.speed)
            yield pcm[i : i + size], i / 2 / rate


class FakeElevenLabs(_Speaks):
    path = "/v1/text-to-speech/rachel/stream-input"
    error = ""
    """What it says in place of sound."""

    def key(self, headers: dict[str, str]) -> str | None:
        return headers.get("xi-api-key")

    async def talk(self, ws: ServerConnection) -> None:
        rate = int(self.query["output_format"].removeprefix("pcm_"))
        first, text = await self.next(ws), ""
        if first["text"] != " ":
            self.problems.append("the first text is to be a space")
        while (more := (await self.next(ws))["text"]) != "":
            if not more.endswith(" "):
                self.problems.append(f"{more!r} does not end with a space")
            text += more
        if self.error:
            await self.tell(ws, message="no", error=self.error, code=1008)
            await ws.close(1008, self.error)
            return
        pcm = self.made(text.strip(), rate)
        each = len(pcm) / 2 / rate / len(text.strip()) * 1000
        done = 0
        async for sound, at in self.pieces(ws, pcm, rate):
            last = round(at * rate * 2) + len(sound) == len(pcm)
            end = len(text.strip()) if last else int((at * 1000 + 100) / each)
            times = [round(i * each - at * 1000) for i in range(done, end)]
            known = {
                "chars": list(text[done:end]),
                "charStartTimesMs": times,
                "charDurationsMs": [round(each)] * len(times),
            }
            done = end
            await self.tell(ws, audio=base64.b64encode(sound).decode(), alignment=known, normalizedAlignment=None)
        await self.tell(ws, audio=None, isFinal=True)
        await ws.close()


class FakeCartesia(_Speaks):
    path = "/tts/websocket"
    error = 0
    """The status that it reports in place of sound."""

    def key(self, headers: dict[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("Bearer ") if "cartesia-version" in headers else None

    async def talk(self, ws: ServerConnection) -> None:
        while True:
            asked = await self.next(ws)
            context, rate = asked["context_id"], asked["output_format"]["sample_rate"]
            about = {"context_id": context, "status_code": 200, "done": False}
            if self.error:
                await self.tell(ws, type="error", **about | {"status_code": self.error, "done": True}, message="no")
                continue
            pcm = self.made(asked["transcript"], rate)
            words = asked["transcript"].split()
            starts = [i * len(pcm) / 2 / rate / len(words) for i in range(len(words) + 1)]
            number = 0
            async for sound, at in self.pieces(ws, pcm, rate):
                data = base64.b64encode(sound).decode()
                await self.tell(ws, type="chunk", data=data, step_time=1.0, **about)
                due = [i for i in range(number, len(words)) if starts[i] <= at + 0.1]
                number += len(due)
                if due and asked.get("add_timestamps"):
                    known = {"words": [words[i] for i in due], "start": [starts[i] for i in due]}
                    known["end"] = [starts[i + 1] for i in due]
                    await self.tell(ws, type="timestamps", word_timestamps=known, **about)
            await self.tell(ws, type="done", **about | {"done": True})


class FakeDeepgramSpeech(_Speaks):
    path = "/v1/speak"

    def key(self, headers: dict[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("Token ")

    async def talk(self, ws: ServerConnection) -> None:
        text, flushed = "", 0
        await self.tell(ws, type="Metadata", request_id="r", model_name=self.query["model"])
        while (message := await self.next(ws))["type"] != "Close":
            if message["type"] == "Speak":
                text += message["text"]
            elif message["type"] == "Flush":
                rate = int(self.query["sample_rate"])
                async for sound, _ in self.pieces(ws, self.made(text, rate), rate):
                    await ws.send(sound)
                await self.tell(ws, type="Flushed", sequence_id=flushed)
                text, flushed = "", flushed + 1


class FakeMiniMax(_Speaks):
    path = "/ws/v1/t2a_v2"
    error = 0
    """Its code."""

    def key(self, headers: dict[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("Bearer ")

    async def talk(self, ws: ServerConnection) -> None:
        good = {"status_code": 0, "status_msg": "success"}
        await self.tell(ws, event="connected_success", session_id="s", trace_id="t", base_resp=good)
        start = await self.next(ws)
        if self.error:
            failed = {"status_code": self.error, "status_msg": "no"}
            await self.tell(ws, event="task_failed", base_resp=failed)
            return
        if start["event"] != "task_start":
            self.problems.append(f"{start['event']}, where task_start was expected")
        await self.tell(ws, event="task_started", base_resp=good)
        rate = start["audio_setting"]["sample_rate"]
        while (message := await self.next(ws))["event"] == "task_continue":
            async for sound, _ in self.pieces(ws, self.made(message["text"], rate), rate):
                await self.tell(ws, event="task_continued", data={"audio": sound.hex()}, is_final=False, base_resp=good)
            await self.tell(ws, data={"audio": ""}, is_final=True, base_resp=good, extra_info={})


RATES_OF_AZURE = {
    f"raw-{name}-16bit-mono-pcm": rate
    for name, rate in {"8khz": 8000, "16khz": 16_000, "22050hz": 22_050, "24khz": 24_000, "48khz": 48_000}.items()
}


class FakeMicrosoftTts(HttpFake):
    """What it calls its sound is what it is not."""

    path = "/cognitiveservices/v1"

    def __init__(self, *, voice: Voice | None = None, cut_after: int | None = None, **more: Any) -> None:
        super().__init__(**more)
        self.voice = voice
        self.cut_after = cut_after
        self.texts: list[str] = []
        self.documents: list[str] = []
        self.asked: list[dict[str, str]] = []
        """The headers of each request."""

    async def answer(self, request: Request) -> Response:
        self.asked.append(request.headers)
        if request.headers.get("ocp-apim-subscription-key") != "k":
            return Response(401, b"")
        rate = RATES_OF_AZURE.get(request.headers.get("x-microsoft-outputformat", ""))
        if rate is None or request.headers.get("content-type") != "application/ssml+xml":
            return self.refuse([f"headers: {request.headers}"])
        document = ElementTree.fromstring(request.body)
        if not document.tag.endswith("}speak") or not document.get("{http://www.w3.org/XML/1998/namespace}lang"):
            return self.refuse([f"no SSML: {request.body!r}"])
        self.documents.append(request.body.decode())
        text = "".join(document.itertext())
        self.texts.append(text)
        pcm = tone(len(text) * 0.06, rate) if self.voice is None else resample(*self.voice(text), rate)
        return Response(type="audio/basic", stream=self._stream(pcm, rate))

    async def _stream(self, pcm: bytes, rate: int) -> AsyncIterator[bytes]:
        for number, i in enumerate(range(0, len(pcm), rate // 5)):
            if number == self.cut_after:
                raise Break
            await asyncio.sleep(0)
            yield pcm[i : i + rate // 5]


# ------------------------------------------------------------------------------------------------------ speech to text

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel")
LONG, GAP = 0.2, 0.1
"""Seconds of a word, and of the silence behind it."""
RATE = 16_000


def spoken(*words: str) -> bytes:
    """What the fakes hear as these words, at 16 kHz: each is a tone of its own."""
    tones = [tone(LONG, RATE, 300.0 + 150.0 * WORDS.index(word)) for word in words]
    return b"".join(sound + bytes(round(GAP * RATE) * 2) for sound in tones)


def understood(pcm: bytes, says: str = "") -> Iterator[tuple[str, float, float]]:
    """(word, start, end) of such sound. `says`: what any sound is heard as, in its place."""
    if says:
        each = len(pcm) / 2 / RATE / len(says.split())
        yield from ((word, i * each, (i + 1) * each) for i, word in enumerate(says.split()))
        return
    x = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float32)
    step = RATE // 100
    loud = np.array([np.abs(x[i : i + step]).max(initial=0) > 2000 for i in range(0, len(x), step)], bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(int)))
    for begin, end in pairwise(edges):
        if not loud[begin] or end - begin < 5:
            continue
        part = x[begin * step : end * step]
        hz = float(np.argmax(np.abs(np.fft.rfft(part * np.hanning(len(part)), RATE)))) * RATE / RATE
        yield WORDS[round((hz - 300) / 150)], float(begin) / 100, float(end) / 100


class FakeDeepgramEars(SocketFake):
    """`silent`: it does not answer the end of an utterance, as the service does where nothing is left to tell; what it
    has heard so far it tells at once."""

    path = "/v1/listen"
    silent = mute = False
    """Mute: it tells nothing before the end."""
    says = ""
    """What it hears in any sound; "" = the words of `spoken`."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.seconds: list[float] = []
        """Of sound over each connection."""

    def key(self, headers: dict[str, str]) -> str | None:
        return headers.get("authorization", "").removeprefix("Token ")

    async def talk(self, ws: ServerConnection) -> None:
        pcm, told, shown = b"", 0.0, 0.0
        index = len(self.seconds)
        self.seconds.append(0.0)
        cut = self.cut_after.pop(0) if self.cut_after else None
        async for data in ws:
            now = len(pcm) / 2 / RATE
            if isinstance(data, bytes):
                pcm += data
                now = self.seconds[index] = len(pcm) / 2 / RATE
                if cut is not None and now > cut / 10:
                    ws.transport.abort()
                if now - shown >= (0.0 if self.silent else 0.3) and not self.mute:
                    shown = now
                    await self._results(ws, pcm, told, now, final=False, asked=False)
                continue
            message = msgspec.json.decode(data)
            self.messages.append(message)
            if message["type"] == "Finalize":
                await asyncio.sleep(self.latency)
                if not self.silent:
                    await self._results(ws, pcm, told, now, final=True, asked=True)
                told = now
            elif message["type"] == "CloseStream":
                return

    async def _results(
        self, ws: ServerConnection, pcm: bytes, start: float, end: float, *, final: bool, asked: bool
    ) -> None:
        words = [
            {"word": word, "start": at, "end": until, "confidence": 1.0, "punctuated_word": word.capitalize()}
            for word, at, until in understood(pcm, self.says)
            if at >= start
        ]
        text = " ".join(str(word["punctuated_word"]) for word in words)
        channel = {"alternatives": [{"transcript": text, "confidence": 1.0, "words": words}]}
        await self.tell(
            ws,
            type="Results",
            channel_index=[0, 1],
            start=start,
            duration=end - start,
            is_final=final,
            speech_final=False,
            from_finalize=asked,
            channel=channel,
            metadata={"request_id": "r", "model_uuid": "m", "model_info": {}},
        )


class FakeMicrosoftEars(SocketFake):
    path = "/speech/recognition/conversation/cognitiveservices/v1"
    mute = False
    says = ""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.requests: list[dict[str, Any]] = []
        """Of each request: the body of its speech.context, and the seconds of its sound."""
        self.paths: list[str] = []
        """Of the messages, those that repeat once."""

    def key(self, headers: dict[str, str]) -> str | None:
        return headers.get("ocp-apim-subscription-key")

    async def talk(self, ws: ServerConnection) -> None:
        pcm, shown, request, headed = b"", 0.0, "", False
        async for data in ws:
            if isinstance(data, bytes):
                (length,) = struct.unpack_from(">H", data)
                head, body = data[2 : 2 + length].decode(), data[2 + length :]
            else:
                head, _, text = data.partition("\r\n\r\n")
                body = text.encode()
            headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in head.splitlines())}
            path = headers["path"]
            if not self.paths or self.paths[-1] != path:
                self.paths.append(path)
            if path == "speech.context":
                self.requests.append({"context": msgspec.json.decode(body), "seconds": 0.0})
                pcm, shown, request, headed = b"", 0.0, headers["x-requestid"], False
                await self._say(ws, request, "turn.start", {"context": {"serviceTag": "t"}})
            if path != "audio":
                continue
            if headers["x-requestid"] != request:
                self.problems.append(f"sound of the request {headers['x-requestid']}, where {request} had begun")
            if body[:4] == b"RIFF":
                if struct.unpack_from("<HHIIHH", body, 20) != (1, 1, RATE, RATE * 2, 2, 16):
                    self.problems.append("mono PCM16 at 16 kHz was expected")
                headed = True
                if not (body := body[44:]):
                    continue
            elif not headed:
                self.problems.append("the first sound has no head")
            pcm += body
            now = self.requests[-1]["seconds"] = len(pcm) / 2 / RATE
            if not body:
                await self._end(ws, request, pcm, now)
            elif now - shown >= 0.3 and not self.mute:
                shown = now
                words = [word for word, _, _ in understood(pcm, self.says)]
                hypothesis = {"Text": " ".join(words), "Offset": 0, "Duration": round(now * 1e7)}
                await self._say(ws, request, "speech.hypothesis", hypothesis)

    async def _end(self, ws: ServerConnection, request: str, pcm: bytes, now: float) -> None:
        await asyncio.sleep(self.latency)
        found = list(understood(pcm, self.says))
        words = [
            {"Word": word, "Offset": round(at * 1e7), "Duration": round((until - at) * 1e7)}
            for word, at, until in found
        ]
        text = " ".join(word for word, _, _ in found).capitalize() + "."
        phrase: dict[str, Any] = {"RecognitionStatus": "Success", "Offset": 0, "Duration": round(now * 1e7)}
        phrase |= {"DisplayText": text, "NBest": [{"Confidence": 0.9, "Display": text, "Words": words}]}
        if not found:
            phrase = {"RecognitionStatus": "InitialSilenceTimeout", "Offset": 0, "Duration": round(now * 1e7)}
        await self._say(ws, request, "speech.phrase", phrase)
        await self._say(ws, request, "turn.end", {})

    async def _say(self, ws: ServerConnection, request: str, path: str, body: Any) -> None:
        head = f"X-RequestId:{request}\r\nContent-Type:application/json; charset=utf-8\r\nPath:{path}\r\n\r\n"
        await ws.send(head + msgspec.json.encode(body).decode())
