/* Opus packets against libopus, where it is: what is accepted, where the frames are, and the bytes that are packed.
 * No kernel: it runs at every level, and its bench has libopus first. */
#include "checkasm.h"

#ifdef HAVE_OPUS
#include <opus.h>

#include "lipwire/lipwire.h"

#define MOST 5000

static uint8_t bytes[MOST];

/* A packet that is right in most of its parts, or was before something was changed. */
static size_t some_packet(void)
{
    int kind = ca_random_in(0, 9);
    if (kind < 3) {
        size_t n = (size_t)ca_random_in(1, kind ? 40 : 2700);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(ca_random() >> 24);
        return n;
    }
    static uint8_t payload[8 * 1275];
    lw_opus_frame frames[LW_OPUS_MAX_FRAMES];
    uint8_t toc = (uint8_t)ca_random();
    static const int samples[] = {120, 240, 480, 960};
    int most = toc & 0x80 ? 5760 / samples[toc >> 3 & 3] : 6;
    int count = ca_random_in(1, ca_random_in(0, 2) ? 3 : most), size = ca_random_in(0, ca_random_in(0, 3) ? 90 : 1275);
    for (int i = 0; i < count; i++) {
        if (kind & 1)
            size = ca_random_in(0, ca_random_in(0, 5) ? 60 : 1275);
        frames[i] = (lw_opus_frame){payload + ca_random_in(0, 7 * 1275), (size_t)size};
    }
    payload[ca_random() % sizeof payload] = (uint8_t)(ca_random() >> 24);
    int64_t n = lw_opus_pack(toc, frames, count, 0, bytes, MOST);
    if (n > 0 && ca_random_in(0, 1)) {
        int64_t padded = lw_opus_pack(toc, frames, count, (size_t)n + (size_t)ca_random_in(0, 600), bytes, MOST);
        n = padded > 0 ? padded : n;
    }
    if (n <= 0)
        return 1;
    if (kind > 6) {
        bytes[ca_random() % (n < 8 ? (uint32_t)n : 8)] ^= (uint8_t)(1 << ca_random_in(0, 7));
        n += n < MOST ? ca_random_in(-1, 1) : 0;
    }
    return n ? (size_t)n : 1;
}

static void same_parse(const uint8_t *packet, size_t n, const lw_opus_packet *p, int count)
{
    static const int bandwidths[] = {OPUS_BANDWIDTH_NARROWBAND, OPUS_BANDWIDTH_MEDIUMBAND, OPUS_BANDWIDTH_WIDEBAND,
                                     OPUS_BANDWIDTH_SUPERWIDEBAND, OPUS_BANDWIDTH_FULLBAND};
    unsigned char toc;
    const unsigned char *frames[48];
    opus_int16 sizes[48];
    int offset = 0, want = opus_packet_parse(packet, (opus_int32)n, &toc, frames, sizes, &offset);
    CA_OK(want > 0 ? count == want : count == LW_EDATA, "n %zu toc %02x: %d, libopus %d", n, packet[0], count, want);
    if (want <= 0 || count != want)
        return;
    int same = p->toc == toc && (int)p->offset[0] == offset;
    for (int i = 0; i < count; i++)
        same &= p->size[i] == sizes[i] && packet + p->offset[i] == frames[i];
    CA_OK(same, "frames: n %zu toc %02x count %d", n, toc, count);
    CA_OK(p->channels == opus_packet_get_nb_channels(packet) &&
              bandwidths[p->bandwidth] == opus_packet_get_bandwidth(packet) &&
              p->frame_samples == opus_packet_get_samples_per_frame(packet, LW_RATE) &&
              p->samples == opus_packet_get_nb_samples(packet, (opus_int32)n, LW_RATE), "toc %02x", toc);
}

static void same_packing(const uint8_t *packet, size_t n)
{
    static uint8_t ours[MOST + 800], theirs[MOST + 800];
    memcpy(theirs, packet, n);
    opus_int32 want = opus_packet_unpad(theirs, (opus_int32)n);
    int64_t got = lw_opus_unpad(packet, n, ours, sizeof ours);
    CA_OK(got == want, "unpad %zu: %d, libopus %d", n, (int)got, (int)want);
    ca_same(theirs, ours, (size_t)(want > 0 ? want : 0), "unpad %zu", n);
    size_t size = n + (size_t)ca_random_in(0, 700);
    memcpy(theirs, packet, n);
    CA_OK(opus_packet_pad(theirs, (opus_int32)n, (opus_int32)size) == OPUS_OK &&
              lw_opus_pad(packet, n, size, ours, size) == (int64_t)size, "pad %zu to %zu", n, size);
    ca_same(theirs, ours, size, "pad %zu to %zu", n, size);
}

/* One to three packets of up to 20 ms joined. Returns the length. */
static int64_t join(const uint8_t *const *packets, const size_t *sizes, int count, uint8_t *out, size_t cap)
{
    lw_opus_packet p;
    lw_opus_frame frames[LW_OPUS_MAX_FRAMES];
    int all = 0;
    for (int i = 0; i < count; i++) {
        int n = lw_opus_parse(packets[i], sizes[i], &p);
        for (int k = 0; k < n && all < LW_OPUS_MAX_FRAMES; k++)
            frames[all++] = (lw_opus_frame){packets[i] + p.offset[k], p.size[k]};
    }
    return lw_opus_pack(p.toc, frames, all, 0, out, cap);
}

static opus_int32 join_libopus(OpusRepacketizer *r, const uint8_t *const *packets, const size_t *sizes, int count,
                               uint8_t *out, size_t cap)
{
    opus_repacketizer_init(r);
    for (int i = 0; i < count; i++)
        if (opus_repacketizer_cat(r, packets[i], (opus_int32)sizes[i]) != OPUS_OK)
            return -1;
    return opus_repacketizer_out(r, out, (opus_int32)cap);
}

void check_opus(const lw_dsp *c, const lw_dsp *candidate)
{
    (void)c, (void)candidate;
    if (!ca_kernel("opus", 0))
        return;
    lw_opus_packet p;
    int taken = 0;
    for (int i = 0; i < 30000; i++) {
        size_t n = some_packet();
        uint8_t *packet = ca_end_of_page(n);
        memcpy(packet, bytes, n);
        int count = lw_opus_parse(packet, n, &p);
        same_parse(packet, n, &p, count);
        if (count > 0) {
            taken++;
            same_packing(packet, n);
        }
        ca_release();
    }
    CA_OK(taken > 10000, "only %d of the packets were valid", taken);

    static uint8_t ours[4000], theirs[4000], single[6][1276];
    static const uint8_t *packets[6];
    size_t sizes[6];
    OpusRepacketizer *r = opus_repacketizer_create();
    for (int i = 0; i < 2000; i++) {
        int count = ca_random_in(1, 6), same = ca_random_in(0, 1), size = ca_random_in(0, 500);
        uint8_t toc = (uint8_t)(ca_random_in(12, 15) << 3 | (ca_random() & 4));
        for (int k = 0; k < count; k++) {
            sizes[k] = 1 + (size_t)(same ? size : ca_random_in(0, 500));
            packets[k] = single[k];
            for (size_t b = 1; b < sizes[k]; b++)
                single[k][b] = (uint8_t)(i + k + (int)b);
            single[k][0] = toc;
        }
        opus_int32 want = join_libopus(r, packets, sizes, count, theirs, sizeof theirs);
        int64_t got = join(packets, sizes, count, ours, sizeof ours);
        if (CA_OK(want > 0 && got == want, "join %d: %d, libopus %d", count, (int)got, (int)want))
            ca_same(theirs, ours, (size_t)want, "join %d", count);
    }

    /* One hybrid frame of 60 bytes; two of them joined; and six frames of any size. */
    unsigned char toc;
    const unsigned char *frames[48];
    opus_int16 frame_sizes[48];
    int offset;
    volatile int sink = 0;
    for (int k = 0; k < 6; k++)
        single[k][0] = 15 << 3, packets[k] = single[k], sizes[k] = 61;
    CA_BENCH("opus_packet_parse, lw_opus_parse: code 0", 1, "packet",
             sink += opus_packet_parse(single[0], 61, &toc, frames, frame_sizes, &offset),
             sink += lw_opus_parse(single[0], 61, &p));
    opus_int32 two = join_libopus(r, packets, sizes, 2, theirs, sizeof theirs);
    CA_BENCH("opus_packet_parse, lw_opus_parse: code 1", 1, "packet",
             sink += opus_packet_parse(theirs, two, &toc, frames, frame_sizes, &offset),
             sink += lw_opus_parse(theirs, (size_t)two, &p));
    CA_BENCH("opus_repacketizer, parse + lw_opus_pack: two", 1, "packet",
             sink += join_libopus(r, packets, sizes, 2, theirs, sizeof theirs),
             sink += (int)join(packets, sizes, 2, ours, sizeof ours));
    for (int k = 0; k < 6; k++)
        sizes[k] = 61 + (size_t)k;
    opus_int32 six = join_libopus(r, packets, sizes, 6, theirs, sizeof theirs);
    CA_BENCH("opus_packet_parse, lw_opus_parse: 6 VBR frames", 1, "packet",
             sink += opus_packet_parse(theirs, six, &toc, frames, frame_sizes, &offset),
             sink += lw_opus_parse(theirs, (size_t)six, &p));
    CA_BENCH("opus_repacketizer, parse + lw_opus_pack: six", 1, "packet",
             sink += join_libopus(r, packets, sizes, 6, theirs, sizeof theirs),
             sink += (int)join(packets, sizes, 6, ours, sizeof ours));
    opus_repacketizer_destroy(r);
}
#else
void check_opus(const lw_dsp *c, const lw_dsp *candidate)
{
    (void)c, (void)candidate;
}
#endif
