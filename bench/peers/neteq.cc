// NetEQ, WebRTC's jitter buffer, behind driver.h: as it is in a call, with nothing but its defaults. Debian 12 has it in
// libtgowt-dev, a static library.
#include <api/audio/audio_frame.h>
#include <api/audio_codecs/L16/audio_decoder_L16.h>
#include <api/audio_codecs/audio_decoder_factory_template.h>
#include <api/neteq/neteq.h>
#include <modules/audio_coding/neteq/default_neteq_factory.h>
#include <rtc_base/logging.h>
#include <system_wrappers/include/clock.h>

#include <cstring>
#include <memory>

struct buffer {
    webrtc::SimulatedClock clock{0};
    std::unique_ptr<webrtc::NetEq> neteq;
    webrtc::AudioFrame frame;
    int64_t waited = 0;
};

static const int PAYLOAD_TYPE = 96;

static void advance(buffer *b, int64_t now_ns)
{
    const int64_t us = now_ns / 1000 - b->clock.TimeInMicroseconds();
    if (us > 0)
        b->clock.AdvanceTimeMicroseconds(us);
}

static buffer *buffer_open(int rate)
{
    rtc::LogMessage::LogToDebug(rtc::LS_NONE);
    auto b = std::make_unique<buffer>();
    webrtc::NetEq::Config config;
    config.sample_rate_hz = rate;
    b->neteq = webrtc::DefaultNetEqFactory().CreateNetEq(
        config, webrtc::CreateAudioDecoderFactory<webrtc::AudioDecoderL16>(), &b->clock);
    if (!b->neteq || !b->neteq->RegisterPayloadType(PAYLOAD_TYPE, webrtc::SdpAudioFormat("L16", rate, 1)))
        return nullptr;
    return b.release();
}

static void buffer_put(buffer *b, int64_t now_ns, uint16_t sequence, uint32_t timestamp, const uint8_t *l16, size_t bytes)
{
    advance(b, now_ns);
    webrtc::RTPHeader header;
    header.payloadType = PAYLOAD_TYPE;
    header.sequenceNumber = sequence;
    header.timestamp = timestamp;
    header.ssrc = 1;
    b->neteq->InsertPacket(header, rtc::ArrayView<const uint8_t>(l16, bytes));
}

static void buffer_get(buffer *b, int64_t now_ns, int16_t *out)
{
    advance(b, now_ns);
    bool muted = false;
    b->neteq->GetAudio(&b->frame, &muted);
    std::memcpy(out, b->frame.data(), b->frame.samples_per_channel() * sizeof *out);
}

static void buffer_report(buffer *);
static void buffer_close(buffer *b) { delete b; }

#include "driver.h"

static void buffer_report(buffer *b)
{
    const webrtc::NetEqLifetimeStatistics s = b->neteq->GetLifetimeStatistics();
    std::printf("samples %llu\n", (unsigned long long)s.total_samples_received);
    std::printf("concealed %llu\n", (unsigned long long)s.concealed_samples);
    std::printf("removed %llu\n", (unsigned long long)s.removed_samples_for_acceleration);
    std::printf("inserted %llu\n", (unsigned long long)s.inserted_samples_for_deceleration);
    std::printf("discarded %llu\n", (unsigned long long)s.packets_discarded);
    if (s.jitter_buffer_emitted_count)
        std::printf("delay_ms %.2f\n", (double)s.jitter_buffer_delay_ms / (double)s.jitter_buffer_emitted_count);
}
