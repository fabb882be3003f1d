/* Opus packets: each rule of RFC 6716, section 3.4, at its edge; then what holds of any bytes. */
#include "check.h"
#include "opus_check.h"

#define SILK_20 (1 << 3)   /* configs of narrow band, 20 ms */
#define SILK_60 (3 << 3)
#define CELT_2_5 (16 << 3) /* 2.5 ms */
#define MOST 70000

static uint8_t packet[MOST], out[MOST], back[MOST];

/* Bytes, then zeros up to n. */
static int parse(lw_opus_packet *p, size_t n, size_t head, const uint8_t *bytes)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (!exact)
        return -100;
    memset(exact, 0, n);
    memcpy(exact, bytes, head);
    int count = lw_opus_parse(exact, n, p);
    free(exact);
    return count;
}

#define BYTES(...) sizeof((uint8_t[]){__VA_ARGS__}), (uint8_t[]){__VA_ARGS__}
#define REFUSED(n, r, ...) \
    CHECK(parse(&p, n, BYTES(__VA_ARGS__)) == LW_EDATA && p.rule == (r), "R" #r ": " #n " bytes " #__VA_ARGS__)
#define TAKEN(n, count, ...) CHECK(parse(&p, n, BYTES(__VA_ARGS__)) == (count) && !p.rule, #n " bytes " #__VA_ARGS__)

static void test_rules(void)
{
    lw_opus_packet p;
    CHECK(lw_opus_parse(NULL, 0, &p) == LW_EDATA && p.rule == 1, "R1: nothing");
    TAKEN(1, 1, SILK_20);
    TAKEN(1276, 1, SILK_20);
    REFUSED(1277, 2, SILK_20);
    TAKEN(1, 2, SILK_20 | 1);
    TAKEN(2551, 2, SILK_20 | 1);
    REFUSED(2550, 3, SILK_20 | 1);
    REFUSED(2553, 2, SILK_20 | 1);
    REFUSED(1, 4, SILK_20 | 2);
    TAKEN(2, 2, SILK_20 | 2, 0);
    TAKEN(253, 2, SILK_20 | 2, 251);
    REFUSED(252, 4, SILK_20 | 2, 251);
    REFUSED(2, 4, SILK_20 | 2, 252);
    TAKEN(255, 2, SILK_20 | 2, 252);
    TAKEN(1278, 2, SILK_20 | 2, 255, 255);
    CHECK(p.size[0] == 1275 && p.size[1] == 0 && p.vbr, "the longest length");
    TAKEN(3 + 1275 + 1275, 2, SILK_20 | 2, 255, 255);
    REFUSED(3 + 1275 + 1276, 2, SILK_20 | 2, 255, 255);
    REFUSED(1, 6, SILK_20 | 3);
    REFUSED(2, 5, SILK_20 | 3, 0);
    TAKEN(2, 6, SILK_20 | 3, 6);
    CHECK(p.samples == 5760 && p.dtx && !p.fec, "six empty frames");
    REFUSED(2, 5, SILK_20 | 3, 7);
    TAKEN(2, 48, CELT_2_5 | 3, 48);
    REFUSED(2, 5, CELT_2_5 | 3, 49);
    TAKEN(2, 2, SILK_60 | 3, 2);
    REFUSED(2, 5, SILK_60 | 3, 3);
    TAKEN(11, 3, SILK_20 | 3, 3);
    REFUSED(12, 6, SILK_20 | 3, 3);
    REFUSED(2, 6, SILK_20 | 3, 0x43);
    TAKEN(3, 3, SILK_20 | 3, 0x43, 0);
    REFUSED(3, 6, SILK_20 | 3, 0x43, 1);
    REFUSED(3, 6, SILK_20 | 3, 0x43, 255);
    REFUSED(257, 6, SILK_20 | 3, 0x43, 255, 0);
    TAKEN(258, 3, SILK_20 | 3, 0x43, 255, 0);
    CHECK(p.padding == 254 && p.offset[0] == 4 && p.size[2] == 0, "254 bytes of padding take two to say");
    TAKEN(4 + 6 + 255, 3, SILK_20 | 3, 0x43, 255, 1);
    CHECK(p.padding == 255 && p.offset[2] == 8 && p.size[2] == 2, "255 of them");
    REFUSED(2 + 3 * 1276, 2, SILK_20 | 3, 3);
    REFUSED(2, 7, SILK_20 | 3, 0x82);
    TAKEN(3, 2, SILK_20 | 3, 0x82, 0);
    REFUSED(3, 7, SILK_20 | 3, 0x82, 252);
    REFUSED(5, 7, SILK_20 | 3, 0x83, 2, 0);
    REFUSED(6, 7, SILK_20 | 3, 0x83, 1, 2);
    TAKEN(7, 3, SILK_20 | 3, 0x83, 1, 2);
    CHECK(p.offset[0] == 4 && p.offset[1] == 5 && p.offset[2] == 7 && p.size[2] == 0, "VBR frames");
    REFUSED(7, 7, SILK_20 | 3, 0xC3, 1, 1, 2);
    TAKEN(9, 3, SILK_20 | 3, 0xC3, 1, 1, 2);
    REFUSED(2, 7, SILK_20 | 3, 0xC1);
    TAKEN(2 + 1275, 1, SILK_20 | 3, 0x81);
    REFUSED(2 + 1276, 2, SILK_20 | 3, 0x81);
    for (int rule = 1; rule <= 7; rule++)
        CHECK(lw_opus_rule(rule)[1] == '0' + rule, lw_opus_rule(rule));
    CHECK(lw_opus_rule(-1) && lw_opus_rule(8) && lw_opus_rule(0), "no such rule");
}

static void test_toc(void)
{
    static const struct {
        int first, last, mode, bandwidth, shortest;
    } rows[] = {{0, 3, 0, 0, 480},    {4, 7, 0, 1, 480},    {8, 11, 0, 2, 480},   {12, 13, 1, 3, 480},
                {14, 15, 1, 4, 480},  {16, 19, 2, 0, 120},  {20, 23, 2, 2, 120},  {24, 27, 2, 3, 120},
                {28, 31, 2, 4, 120}};
    int right = 1, configs = 0;
    lw_opus_packet p;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int c = rows[r].first; c <= rows[r].last; c++, configs++)
            for (int stereo = 0; stereo < 2; stereo++) {
                int samples = rows[r].shortest << (c - rows[r].first);
                samples = samples == 3840 ? 2880 : samples; /* the fourth of SILK: 60 ms, not 80 */
                packet[0] = (uint8_t)(c << 3 | stereo << 2);
                right &= lw_opus_parse(packet, 1, &p) == 1 && p.toc == packet[0] && p.config == c &&
                         p.mode == rows[r].mode && p.bandwidth == rows[r].bandwidth && p.channels == 1 + stereo &&
                         p.code == 0 && p.frame_samples == samples && p.samples == samples && p.dtx && !p.fec &&
                         !p.vbr && p.offset[0] == 1 && p.size[0] == 0 && p.padding == 0;
            }
    CHECK(right && configs == 32, "every config, mono and stereo");

    /* VAD flags, then LBRR, of mid and of side: bit positions from the top. */
    static const struct {
        int config, channels, lbrr[2];
    } silk[] = {{8, 1, {1, 1}},  {9, 1, {1, 1}},  {10, 1, {2, 2}}, {11, 1, {3, 3}}, {12, 1, {1, 1}}, {15, 1, {1, 1}},
                {8, 2, {1, 3}},  {9, 2, {1, 3}},  {10, 2, {2, 5}}, {11, 2, {3, 7}}, {13, 2, {1, 3}}};
    right = 1;
    for (size_t i = 0; i < sizeof silk / sizeof *silk; i++)
        for (int bit = 0; bit < 8; bit++) {
            const uint8_t bytes[] = {(uint8_t)(silk[i].config << 3 | (silk[i].channels == 2) << 2),
                                     (uint8_t)(0x80 >> bit), 0x55};
            int want = bit == silk[i].lbrr[0] || bit == silk[i].lbrr[1];
            right &= lw_opus_parse(bytes, 3, &p) == 1 && p.fec == want && !p.dtx;
            right &= lw_opus_parse(bytes, 2, &p) == 1 && !p.fec && p.dtx;
        }
    CHECK(right, "the LBRR flags");
    const uint8_t celt[] = {31 << 3, 0xFF, 0xFF};
    CHECK(lw_opus_parse(celt, 3, &p) == 1 && !p.fec, "CELT has none");
}

static void test_packing(void)
{
    static const uint8_t bytes[1276] = {1, 2, 3, 4, 5, 6, 7};
    lw_opus_frame one[] = {{bytes, 3}}, same[] = {{bytes, 3}, {bytes + 1, 3}}, two[] = {{bytes, 3}, {bytes + 1, 2}};
    lw_opus_frame six[] = {{bytes, 1}, {bytes, 1}, {bytes, 1}, {bytes, 300}, {bytes, 1}, {NULL, 0}};
    lw_opus_frame many[49] = {{NULL, 0}};
    CHECK(lw_opus_pack(SILK_20 | 3, one, 1, 0, out, MOST) == 4 && !memcmp(out, (uint8_t[]){SILK_20, 1, 2, 3}, 4),
          "code 0");
    CHECK(lw_opus_pack(SILK_20, same, 2, 0, out, MOST) == 7 &&
              !memcmp(out, (uint8_t[]){SILK_20 | 1, 1, 2, 3, 2, 3, 4}, 7), "code 1");
    CHECK(lw_opus_pack(SILK_20, two, 2, 0, out, MOST) == 7 &&
              !memcmp(out, (uint8_t[]){SILK_20 | 2, 3, 1, 2, 3, 2, 3}, 7), "code 2");
    CHECK(lw_opus_pack(SILK_20, same, 2, 8, out, MOST) == 8 &&
              !memcmp(out, (uint8_t[]){SILK_20 | 3, 2, 1, 2, 3, 2, 3, 4}, 8), "a byte longer: code 3");
    CHECK(lw_opus_pack(SILK_20, two, 2, 10, out, MOST) == 10 &&
              !memcmp(out, (uint8_t[]){SILK_20 | 3, 0xC2, 1, 3, 1, 2, 3, 2, 3, 0}, 10), "code 3 VBR with padding");
    CHECK(lw_opus_pack(SILK_20, six, 6, 0, out, MOST) == 2 + 6 + 304 &&
              !memcmp(out, (uint8_t[]){SILK_20 | 3, 0x86, 1, 1, 1, 252, 12, 1}, 8), "code 3 VBR");
    CHECK(lw_opus_pack(CELT_2_5, many, 48, 0, out, MOST) == 2 && out[1] == 48, "48 empty frames");

    memset(out, 0x5A, 16);
    one[0].size = 1276;
    CHECK(lw_opus_pack(CELT_2_5, many, 49, 0, out, MOST) == LW_EINVAL &&
              lw_opus_pack(CELT_2_5, many, 0, 0, out, MOST) == LW_EINVAL &&
              lw_opus_pack(SILK_20, many, 7, 0, out, MOST) == LW_EINVAL &&
              lw_opus_pack(SILK_60, many, 3, 0, out, MOST) == LW_EINVAL &&
              lw_opus_pack(SILK_20, NULL, 1, 0, out, MOST) == LW_EINVAL &&
              lw_opus_pack(SILK_20, same, 2, 0, NULL, 7) == LW_EINVAL &&
              lw_opus_pack(SILK_20, same, 2, 6, out, MOST) == LW_EINVAL &&
              lw_opus_pack(SILK_20, one, 1, 0, out, MOST) == LW_EINVAL, "what cannot be packed");
    CHECK(lw_opus_pack(SILK_20, same, 2, 0, out, 6) == LW_ENOSPC && out[0] == 0x5A, "no room: nothing written");
    CHECK(lw_opus_pad(bytes + 3, 4, 3, out, MOST) == LW_EINVAL && lw_opus_pad(bytes + 3, 4, 4, out, 3) == LW_ENOSPC &&
              lw_opus_pad(NULL, 0, 3, out, MOST) == LW_EDATA && out[0] == 0x5A, "what cannot be padded");
    CHECK(lw_opus_parse(NULL, 1, &(lw_opus_packet){0}) == LW_EINVAL && lw_opus_parse(bytes, 1, NULL) == LW_EINVAL &&
              lw_opus_parse(bytes, (size_t)INT32_MAX + 1, &(lw_opus_packet){0}) == LW_EINVAL, "bad arguments");

    /* Every amount of padding that changes how it is said. */
    packet[0] = SILK_20;
    int right = 1;
    for (size_t size = 3; size < 1600; size++) {
        lw_opus_packet p;
        memset(out, 0xEE, size);
        right &= lw_opus_pad(packet, 3, size, out, size) == (int64_t)size && lw_opus_parse(out, size, &p) == 1 &&
                 p.size[0] == 2 && p.offset[0] + 2 + p.padding == size && lw_opus_unpad(out, size, back, 3) == 3 &&
                 !memcmp(back, packet, 3);
        for (size_t i = size - p.padding; i < size; i++)
            right &= out[i] == 0;
    }
    CHECK(right, "padding to every size");
}

/* A plausible packet: a valid start, any bytes. */
static size_t random_packet(void)
{
    int most = random_in(0, 3) ? 60 : random_in(0, 40) ? 3000 : MOST;
    size_t n = (size_t)random_in(most == MOST ? 0 : 1, most);
    for (size_t i = 0; i < n && i < 4096; i++)
        packet[i] = (uint8_t)(random_in(0, 2) ? random_in(0, 6) : random_in(0, 255));
    packet[0] = (uint8_t)random_u32();
    if (random_in(0, 1))
        packet[1] = (uint8_t)(random_in(0, 3) << 6 | random_in(1, 6));
    return n;
}

static void test_any_bytes(void)
{
    const char *wrong = NULL;
    size_t at = 0;
    lw_opus_packet p;
    for (int a = 0; a < 256 && !wrong; a++)
        for (int b = 0; b < 256 && !wrong; b++)
            for (int c = 0; c < 256 && !wrong; c += a % 4 == 3 ? 17 : 255) {
                packet[0] = (uint8_t)a, packet[1] = (uint8_t)b, packet[2] = (uint8_t)c;
                for (at = 1; at <= 3 && !wrong; at++)
                    wrong = opus_check(packet, at, (size_t)b);
            }
    CHECK(!wrong, wrong ? wrong : "all packets of up to two bytes, and many of three");
    int taken = 0, refused[8] = {0};
    for (int i = 0; i < 20000 && !wrong; i++) {
        size_t n = random_packet();
        uint8_t *exact = malloc(n ? n : 1);
        if (!exact)
            break;
        memcpy(exact, packet, n);
        wrong = opus_check(exact, n, (size_t)random_in(0, 700));
        if (lw_opus_parse(exact, n, &p) < 0)
            refused[p.rule]++;
        else
            taken++;
        free(exact);
    }
    printf("# %d taken; refused by R1..R7: %d %d %d %d %d %d %d\n", taken, refused[1], refused[2], refused[3],
           refused[4], refused[5], refused[6], refused[7]);
    CHECK(!wrong, wrong ? wrong : "random packets");
    CHECK(taken > 1000 && refused[2] && refused[3] && refused[4] && refused[5] && refused[6] && refused[7],
          "of every kind");
}

int main(void)
{
    test_rules();
    test_toc();
    test_packing();
    test_any_bytes();
    return failures != 0;
}
