"""What the adapter uses of the SDK: prints, as JSON, the C signatures and layouts, and the Python ones.

    python tests/agora_double/describe.py FOLDER > tests/agora_double/used.json

FOLDER is one that install.py made. tests/test_agora.py compares the output with used.json: after an update of the
SDK (VERSION in install.py), read what changed, adapt agora_sdk.py and the double, and write used.json again.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

NATIVE = [
    "agora_audio_encoded_frame_sender_destroy",
    "agora_audio_encoded_frame_sender_send",
    "agora_audio_pcm_data_sender_destroy",
    "agora_audio_pcm_data_sender_send",
    "agora_local_audio_track_destroy",
    "agora_local_audio_track_set_enabled",
    "agora_local_audio_track_set_max_bufferd_frame_number",
    "agora_local_audio_track_set_send_delay_ms",
    "agora_local_user_capabilities_observer_create",
    "agora_local_user_capabilities_observer_destory",
    "agora_local_user_publish_audio",
    "agora_local_user_publish_video",
    "agora_local_user_register_audio_frame_observer",
    "agora_local_user_register_capabilities_observer",
    "agora_local_user_register_observer",
    "agora_local_user_register_video_frame_observer",
    "agora_local_user_send_audio_meta_data",
    "agora_local_user_set_audio_encoder_config",
    "agora_local_user_set_audio_scenario",
    "agora_local_user_set_playback_audio_frame_before_mixing_parameters",
    "agora_local_user_subscribe_all_audio",
    "agora_local_user_subscribe_all_video",
    "agora_local_user_subscribe_audio",
    "agora_local_user_subscribe_video",
    "agora_local_user_unpublish_audio",
    "agora_local_user_unpublish_video",
    "agora_local_user_unregister_audio_frame_observer",
    "agora_local_user_unregister_capabilities_observer",
    "agora_local_user_unregister_observer",
    "agora_local_user_unregister_video_frame_observer",
    "agora_local_user_unsubscribe_all_audio",
    "agora_local_user_unsubscribe_all_video",
    "agora_local_user_unsubscribe_audio",
    "agora_local_user_unsubscribe_video",
    "agora_local_video_track_destroy",
    "agora_local_video_track_set_enabled",
    "agora_local_video_track_set_video_encoder_config",
    "agora_media_node_factory_create_audio_encoded_frame_sender",
    "agora_media_node_factory_create_audio_pcm_data_sender",
    "agora_media_node_factory_create_video_encoded_image_sender",
    "agora_media_node_factory_create_video_frame_sender",
    "agora_media_node_factory_destroy",
    "agora_parameter_set_int",
    "agora_parameter_set_parameters",
    "agora_rtc_conn_connect",
    "agora_rtc_conn_create",
    "agora_rtc_conn_create_data_stream",
    "agora_rtc_conn_destroy",
    "agora_rtc_conn_disconnect",
    "agora_rtc_conn_enable_encryption",
    "agora_rtc_conn_get_agora_parameter",
    "agora_rtc_conn_get_local_user",
    "agora_rtc_conn_register_observer",
    "agora_rtc_conn_renew_token",
    "agora_rtc_conn_send_stream_message",
    "agora_rtc_conn_unregister_observer",
    "agora_service_create",
    "agora_service_create_custom_audio_track_encoded",
    "agora_service_create_custom_audio_track_pcm",
    "agora_service_create_custom_video_track_encoded",
    "agora_service_create_custom_video_track_frame",
    "agora_service_create_direct_custom_audio_track_pcm",
    "agora_service_create_media_node_factory",
    "agora_service_enable_extension",
    "agora_service_get_agora_parameter",
    "agora_service_initialize",
    "agora_service_release",
    "agora_video_encoded_image_sender_destroy",
    "agora_video_encoded_image_sender_send",
    "agora_video_frame_observer2_create",
    "agora_video_frame_observer2_destroy",
    "agora_video_frame_sender_destroy",
    "agora_video_frame_sender_send",
]
"""The symbols that any call of ours reaches. The tests fail where a call that is not among them is recorded."""

METHODS = {
    "agora.rtc.agora_service.AgoraService": "initialize create_rtc_connection release",
    "agora.rtc.rtc_connection.RTCConnection": "connect disconnect release register_observer"
    " register_local_user_observer register_audio_frame_observer register_video_frame_observer get_local_user"
    " set_video_encoder_configuration publish_audio publish_video push_audio_pcm_data push_audio_encoded_data"
    " push_video_frame push_video_encoded_data send_stream_message send_audio_meta_data renew_token"
    " update_audio_scenario enable_encryption",
    "agora.rtc.local_user.LocalUser": "set_playback_audio_frame_before_mixing_parameters subscribe_audio"
    " subscribe_all_audio unsubscribe_audio unsubscribe_all_audio subscribe_video subscribe_all_video"
    " unsubscribe_video unsubscribe_all_video",
}
OBSERVERS = {
    "agora.rtc.rtc_connection_observer.IRTCConnectionObserver": 0,
    "agora.rtc.local_user_observer.IRTCLocalUserObserver": 1,
    "agora.rtc.audio_frame_observer.IAudioFrameObserver": 2,
    "agora.rtc.video_frame_observer.IVideoFrameObserver": 3,
}
CLASSES = [
    "AgoraServiceConfig",
    "RTCConnConfig",
    "RtcConnectionPublishConfig",
    "EncryptionConfig",
    "VideoEncoderConfiguration",
    "VideoDimensions",
    "ExternalVideoFrame",
    "EncodedAudioFrameInfo",
    "EncodedVideoFrameInfo",
    "SenderOptions",
    "VideoSubscriptionOptions",
    "PcmAudioFrame",
    "AudioFrame",
    "VideoFrame",
    "RTCStats",
]
ENUMS = [
    "AreaCode",
    "AudioCodecType",
    "VideoCodecType",
    "AudioScenarioType",
    "AudioPublishType",
    "VideoPublishType",
    "TCcMode",
    "ClientRoleType",
]


def find(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def describe(folder: Path) -> dict[str, Any]:
    """Everything above, as it is in this SDK."""
    declared = json.loads((folder / "generated" / "declarations.json").read_text())
    symbols = {name: declared["symbols"][name] for name in NATIVE}
    reached = set(re.findall(r"struct (\w+)", json.dumps(symbols)))
    while more := set(re.findall(r"struct (\w+)", json.dumps([declared["structures"][n] for n in reached]))) - reached:
        reached |= more
    sys.path.insert(0, str(folder / "sdk"))
    os.environ.pop("AGORA_DOUBLE", None)
    from lipwire.channel.agora.sdk import make_observers

    bases: Any = tuple(find(name) for name in OBSERVERS)
    ours = make_observers(bases, lambda event: None, 1.0)
    methods = {
        f"{name}.{method}": str(inspect.signature(getattr(find(name), method)))
        for name, used in METHODS.items()
        for method in used.split()
    }
    for (name, n), base in zip(OBSERVERS.items(), bases, strict=True):
        for method in sorted(m for m in vars(type(ours[n])) if m.startswith("on_")):
            methods[f"{name}.{method}"] = str(inspect.signature(getattr(base, method)))
    base_module = "agora.rtc.agora_base."
    fields = {name: [f.name for f in dataclasses.fields(find(base_module + name))] for name in CLASSES}
    enums = {name: {m.name: m.value for m in find(base_module + name)} for name in ENUMS}
    structures = {name: declared["structures"][name] for name in sorted(reached)}
    return {"symbols": symbols, "structures": structures, "methods": methods, "fields": fields, "enums": enums}


if __name__ == "__main__":
    sections = [
        f'"{name}": {{\n' + ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in section.items()) + "\n}"
        for name, section in describe(Path(sys.argv[1])).items()
    ]
    print("{\n" + ",\n".join(sections) + "\n}")
