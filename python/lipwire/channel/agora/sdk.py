"""The adapter to Agora's Python SDK (PyPI agora-python-server-sdk). Only the worker process imports the SDK, for its
import turns off the verification of TLS certificates for the process, may remove and download its native library, and
prints; docs/agora.md.

The SDK calls observers from a thread of its own, where it must not be called back. They do no more than make an event
and `post` it.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from ..._core import RATE
from ...errors import LipwireError
from ..base import (
    HEARD_RATE,
    ChannelEvent,
    Coded,
    Connection,
    Heard,
    Message,
    Network,
    Seen,
    SoundNote,
    State,
    TokenExpiring,
    Trouble,
    UserJoined,
    UserLeft,
)
from .presence import SDK_FOLDER

if TYPE_CHECKING:
    from typing_extensions import Buffer

STATES: dict[int, State] = {
    1: "disconnected",
    2: "connecting",
    3: "connected",
    4: "reconnecting",
    5: "failed",
}
REASONS = {
    0: "connecting",
    1: "joined",
    2: "interrupted",
    3: "banned by the server",
    4: "join failed",
    5: "left",
    6: "invalid app id",
    7: "invalid channel name",
    8: "invalid token",
    9: "token expired",
    10: "rejected by the server",
    13: "address changed",
    14: "keep-alive timeout",
    15: "joined again",
    16: "lost",
    19: "the same uid joined elsewhere",
}
"""CONNECTION_CHANGED_REASON_TYPE of the native SDK; others are shown as numbers."""
VIDEO_CODECS = {"VP8": "VIDEO_CODEC_VP8", "H264": "VIDEO_CODEC_H264", "AV1": "VIDEO_CODEC_AV1"}
CODECS = {1: "VP8", 2: "H264", 12: "AV1"}
"""By VIDEO_CODEC_TYPE of the native SDK; others are shown as numbers."""
AREAS = {
    "GLOBAL": "AREA_CODE_GLOB",
    "NORTH_AMERICA": "AREA_CODE_NA",
    "EUROPE": "AREA_CODE_EU",
    "ASIA": "AREA_CODE_AS",
    "INDIA": "AREA_CODE_IN",
    "JAPAN": "AREA_CODE_JP",
}
"""Names of `protocol.messages.Area`, and the SDK's."""
LEAST = 3
"""The SDK's encoder goes no lower than this part of its bit rate: below, a face is blocks."""
MAINTAIN_FRAMERATE = 1
"""DEGRADATION_PREFERENCE of the native SDK: where the network is narrow, pictures get smaller, and lips keep up."""
AUDIO_CODECS = {
    0: "AUDIO_CODEC_PCMU",
    8: "AUDIO_CODEC_PCMA",
    9: "AUDIO_CODEC_G722",
    120: "AUDIO_CODEC_OPUS",
    122: "AUDIO_CODEC_OPUS",
}
"""By rtc_codec (protocol.md C)."""


class Scenario(Struct, frozen=True):
    """The receivers cannot take the audio scenario that was asked for; `value` is what the SDK recommends."""

    value: int


class KeyRequest(Struct, frozen=True):
    """A receiver needs an IDR picture."""


Post = Callable[[ChannelEvent | Scenario | KeyRequest], None]


class SdkError(LipwireError, RuntimeError):
    """A call of the SDK failed."""

    code = "AGORA_ERROR"


def lend(data: Buffer) -> memoryview:
    """The same bytes, as the SDK takes them: it asks for a buffer that may be written to, for ctypes' sake, and only
    reads. (A ring is mapped read-only; who wrote to it would end this process.) `data` must live until the SDK is done.
    """
    view = np.frombuffer(memoryview(data), np.uint8)
    address = view.__array_interface__["data"][0]
    return memoryview((ctypes.c_ubyte * view.size).from_address(address)).cast("B")


def check(what: str, rc: Any) -> None:
    """Raises SdkError for a negative result; the SDK's Python layer reports failures of its own as -1000 and below."""
    if rc is None or rc < 0:
        raise SdkError(f"{what}: {rc}")


class Sdk:
    """The service of this process: one app id, one kind of uid, many connections.

    Args:
        app_id: 32 hex digits. string_uid: whether uids are names. area: one of AREAS. logs: a folder for the SDK's
            files.

    Raises:
        ModuleNotFoundError: the SDK is not installed. SdkError: it cannot be initialized.
    """

    def __init__(self, app_id: str, string_uid: bool, area: str, logs: str) -> None:
        if folder := os.environ.get(SDK_FOLDER):
            sys.path.insert(0, folder)
        self.base: Any = import_module("agora.rtc.agora_base")
        service: Any = import_module("agora.rtc.agora_service")
        self.observers: tuple[Any, Any, Any, Any] = (
            import_module("agora.rtc.rtc_connection_observer").IRTCConnectionObserver,
            import_module("agora.rtc.local_user_observer").IRTCLocalUserObserver,
            import_module("agora.rtc.audio_frame_observer").IAudioFrameObserver,
            import_module("agora.rtc.video_frame_observer").IVideoFrameObserver,
        )
        self.service = service.AgoraService()
        config = self.base.AgoraServiceConfig(
            appid=app_id,
            use_string_uid=int(string_uid),
            enable_video=1,
            area_code=self.base.AreaCode[AREAS[area]].value,
            log_path=os.path.join(logs, "agora.log"),
            data_dir=logs,
            config_dir=logs,
        )
        check("AgoraService.initialize", self.service.initialize(config))
        if not self.service.inited:  # 2.4.10 returns the result of a later call
            raise SdkError("AgoraService.initialize failed")

    def connect(self, join: Any, post: Post) -> SdkConnection:
        """Begins to join; the outcome comes as a Connection event. Raises SdkError."""
        return SdkConnection(self, join, post)

    def close(self) -> None:
        """After the last connection."""
        self.service.release()


class SdkConnection:
    """One connection that publishes sound and, perhaps, pictures; and receives, where that was asked for."""

    def __init__(self, sdk: Sdk, join: Any, post: Post) -> None:
        base = self._base = sdk.base
        self._join = join
        encoded = join.rtc_codec is not None
        units = join.video and join.encoded
        publish = base.RtcConnectionPublishConfig(
            audio_scenario=base.AudioScenarioType(join.audio_scenario),
            is_publish_audio=True,
            is_publish_video=join.video,
            audio_publish_type=base.AudioPublishType(2 if encoded else 1),
            video_publish_type=base.VideoPublishType(2 if units else 1 if join.video else 0),
            video_encoded_image_sender_options=base.SenderOptions(
                target_bitrate=join.kbps,
                cc_mode=base.TCcMode.CC_ENABLED,
                codec_type=getattr(base.VideoCodecType, VIDEO_CODECS["H264"]),
            ),
        )
        config = base.RTCConnConfig(
            client_role_type=base.ClientRoleType.CLIENT_ROLE_BROADCASTER,
            channel_profile=base.ChannelProfileType.CHANNEL_PROFILE_LIVE_BROADCASTING,
        )
        self._conn = sdk.service.create_rtc_connection(config, publish)
        if self._conn is None or self._conn.conn_handle is None:
            raise SdkError("create_rtc_connection failed")
        try:
            self._open(sdk, post)
        except BaseException:
            self._conn.release()
            raise

    def _open(self, sdk: Sdk, post: Post) -> None:
        conn, join, base = self._conn, self._join, self._base
        # Observers are in place before the connection is, so that no callback is missed.
        self._observers = make_observers(sdk.observers, post, join.seen_every)
        check("register_observer", conn.register_observer(self._observers[0]))
        check("register_local_user_observer", conn.register_local_user_observer(self._observers[1]))
        if join.receive:
            user = conn.get_local_user()
            check("before_mixing_parameters", user.set_playback_audio_frame_before_mixing_parameters(1, HEARD_RATE))
            check("register_audio_frame_observer", conn.register_audio_frame_observer(self._observers[2], 0, None))
            check("register_video_frame_observer", conn.register_video_frame_observer(self._observers[3]))
        if join.video and not join.encoded:
            encoder = base.VideoEncoderConfiguration(
                dimensions=base.VideoDimensions(width=join.width, height=join.height),
                codec_type=getattr(base.VideoCodecType, VIDEO_CODECS[join.codec]),
                frame_rate=max(1, round(join.fps)),
                bitrate=join.kbps,  # the SDK multiplies both by 1000
                min_bitrate=join.kbps // LEAST,
                degradation_preference=MAINTAIN_FRAMERATE,
            )
            check("set_video_encoder_configuration", conn.set_video_encoder_configuration(encoder))
        if (asked := join.encryption) is not None:  # before it connects, or it is not encrypted
            encryption = base.EncryptionConfig(
                encryption_mode=asked.mode, encryption_key=asked.key, encryption_kdf_salt=bytearray(asked.salt)
            )
            check("enable_encryption", conn.enable_encryption(1, encryption))
        check("connect", conn.connect(join.token, join.channel, join.uid))
        check("publish_audio", conn.publish_audio())
        if join.video:
            check("publish_video", conn.publish_video())

    def sound(self, pcm: Buffer, sample: int) -> int:
        """Whole milliseconds of PCM16 mono at 48 kHz, which the SDK reads from where it is."""
        return int(self._conn.push_audio_pcm_data(lend(pcm), RATE, 1, sample * 1000 // RATE))

    def packet(self, data: bytes, samples: int, rate: int, sample: int) -> int:
        """An encoded packet of `samples` at `rate`; G.722's rate is 16000."""
        info = self._base.EncodedAudioFrameInfo(
            codec=getattr(self._base.AudioCodecType, AUDIO_CODECS[self._join.rtc_codec]),
            sample_rate=rate,
            samples_per_channel=samples,
            number_of_channels=1,
            capture_time_ms=sample * 1000 // RATE,
        )
        return int(self._conn.push_audio_encoded_data(data, info))

    def picture(self, i420: Buffer, sample: int) -> int:
        """A picture, which the SDK reads from where it is."""
        frame = self._base.ExternalVideoFrame(
            type=1,  # raw pixels
            format=1,  # I420
            buffer=lend(i420),
            stride=self._join.width,
            height=self._join.height,
            timestamp=sample * 1000 // RATE,
            matrix=[],
        )
        return int(self._conn.push_video_frame(frame))

    def unit(self, data: bytes, sample: int, key: bool) -> int:
        """A picture as H.264, an access unit in Annex B."""
        at = sample * 1000 // RATE
        info = self._base.EncodedVideoFrameInfo(
            codec_type=getattr(self._base.VideoCodecType, VIDEO_CODECS["H264"]),
            width=self._join.width,
            height=self._join.height,
            frames_per_second=max(1, round(self._join.fps)),
            frame_type=3 if key else 4,  # VIDEO_FRAME_TYPE: key, delta
            capture_time_ms=at,
            presentation_ms=at,
        )
        taken = int(self._conn.push_video_encoded_data(data, info))
        return 0 if taken == 1 else min(taken, -1)  # of the calls of a connection this alone says 1 for what went well

    def message(self, data: bytes) -> int:
        """A data-stream packet."""
        return int(self._conn.send_stream_message(data))

    def note(self, data: bytes) -> int:
        """Metadata with the sound."""
        return int(self._conn.send_audio_meta_data(data))

    def renew(self, token: str) -> int:
        """A new token."""
        return int(self._conn.renew_token(token))

    def set_scenario(self, value: int) -> int:
        """Changes the audio scenario; the sound is published anew."""
        return int(self._conn.update_audio_scenario(self._base.AudioScenarioType(value)))

    def subscribe(self, user: str | None, audio: bool, video: bool) -> None:
        """Both as given: what is false is ended."""
        local = self._conn.get_local_user()
        one: tuple[str, ...] = () if user is None else (user,)
        which = "_all" if user is None else ""
        kinds = (("audio", audio, ()), ("video", video, (self._base.VideoSubscriptionOptions(),)))
        for kind, wanted, options in kinds:
            name = f"{'' if wanted else 'un'}subscribe{which}_{kind}"
            check(name, getattr(local, name)(*one, *(options if wanted else ())))

    def close(self) -> None:
        """Leaves and releases everything; no observer is called afterwards."""
        self._conn.disconnect()
        self._conn.release()


def make_observers(bases: tuple[Any, Any, Any, Any], post: Post, seen_every: float) -> tuple[Any, ...]:
    """The four observers of a connection, subclasses of the SDK's so that what it adds has a default."""
    connection, local_user, sound, picture = bases

    def state(number: int, reason: int) -> None:
        post(Connection(STATES[number], REASONS.get(reason, f"reason {reason}")))

    class OnConnection(connection):  # type: ignore[misc,valid-type]
        def on_connecting(self, conn: Any, info: Any, reason: int) -> None:
            state(2, reason)

        def on_connected(self, conn: Any, info: Any, reason: int) -> None:
            state(3, reason)

        def on_reconnecting(self, conn: Any, info: Any, reason: int) -> None:
            state(4, reason)

        def on_reconnected(self, conn: Any, info: Any, reason: int) -> None:
            state(3, reason)

        def on_disconnected(self, conn: Any, info: Any, reason: int) -> None:
            state(1, reason)

        def on_connection_failure(self, conn: Any, info: Any, reason: int) -> None:
            state(5, reason)

        def on_connection_lost(self, conn: Any, info: Any) -> None:
            post(Trouble("connection lost"))

        def on_token_privilege_will_expire(self, conn: Any, token: str) -> None:
            post(TokenExpiring())

        def on_token_privilege_did_expire(self, conn: Any) -> None:
            post(Trouble("token expired"))
            post(TokenExpiring())

        def on_user_joined(self, conn: Any, user: str) -> None:
            post(UserJoined(user))

        def on_user_left(self, conn: Any, user: str, reason: int) -> None:
            post(UserLeft(user))

        def on_transport_stats(self, conn: Any, stats: Any) -> None:
            post(
                Network(
                    rtt_ms=stats.gateway_rtt,
                    loss_percent=stats.tx_packet_loss_rate,
                    tx_kbps=stats.tx_k_bit_rate,
                    rx_kbps=stats.rx_k_bit_rate,
                    tx_bytes=stats.tx_bytes,
                    rx_bytes=stats.rx_bytes,
                    users=stats.user_count,
                )
            )

        def on_error(self, conn: Any, code: int, message: str) -> None:
            post(Trouble("error", code, message))

        def on_warning(self, conn: Any, code: int, message: str) -> None:
            post(Trouble("warning", code, message))

        def on_encryption_error(self, conn: Any, kind: int) -> None:
            post(Trouble("encryption", kind))

        def on_stream_message_error(
            self, conn: Any, user: str, stream: int, code: int, missed: int, cached: int
        ) -> None:
            post(Trouble("data messages missed", code, f"from {user}: {missed} missed, {cached} cached"))

        def on_aiqos_capability_missing(self, conn: Any, recommended: int) -> int:
            post(Scenario(int(recommended)))
            return -1  # the SDK would change it here, in its callback

    class OnUser(local_user):  # type: ignore[misc,valid-type]
        def on_user_video_track_subscribed(self, user: Any, user_id: str, info: Any, track: Any) -> None:
            post(Coded(user_id, CODECS.get(info.codec_type, str(info.codec_type))))

        def on_stream_message(self, user: Any, user_id: str, stream: int, data: bytes, size: int) -> None:
            post(Message(user_id, bytes(data)))

        def on_intra_request_received(self, user: Any) -> None:
            post(KeyRequest())

        def on_audio_meta_data_received(self, user: Any, user_id: str, data: Any) -> None:
            post(SoundNote(user_id, data.encode() if isinstance(data, str) else bytes(data)))

        def on_audio_track_publication_failure(self, user: Any, track: Any, error: int) -> None:
            post(Trouble("publishing sound", error))

        def on_video_track_publication_failure(self, user: Any, track: Any, error: int) -> None:
            post(Trouble("publishing pictures", error))

    class OnSound(sound):  # type: ignore[misc,valid-type]
        def on_playback_audio_frame_before_mixing(
            self, user: Any, channel: str, user_id: str, frame: Any, vad_state: int, vad: Any
        ) -> int:
            post(Heard(user_id, bytes(frame.buffer), frame.presentation_ms))
            return 1

    class OnPicture(picture):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            self.next: dict[str, float] = {}

        def on_frame(self, channel: str, user_id: str, frame: Any) -> None:
            now = time.monotonic()
            if now >= self.next.get(user_id, 0.0):
                self.next[user_id] = now + seen_every
                post(Seen(user_id, frame.width, frame.height, packed(frame)))

    return OnConnection(), OnUser(), OnSound(), OnPicture()


def packed(frame: Any) -> bytes:
    """A received picture without padding between its rows."""
    w, h = frame.width, frame.height
    planes = (
        (frame.y_buffer, frame.y_stride, w, h),
        (frame.u_buffer, frame.u_stride, w // 2, h // 2),
        (frame.v_buffer, frame.v_stride, w // 2, h // 2),
    )
    return b"".join(
        data[: width * height]
        if stride == width
        else b"".join(data[row * stride : row * stride + width] for row in range(height))
        for data, stride, width, height in planes
    )
