/* RTCP packets: those of a sender are written, those of a receiver read. */
#ifndef LW_NET_RTCP_H
#define LW_NET_RTCP_H

#include <stddef.h>
#include <stdint.h>

#define LW_RTCP_STATUSES 1024 /* packets that one transport-wide feedback may speak of; one that names more is malformed */

/* RFC 3550, 6.4.1. */
typedef struct lw_rtcp_sender {
    uint32_t ssrc, timestamp, packets, octets;
    uint64_t ntp; /* 32.32 seconds since 1900 */
    const char *cname;
} lw_rtcp_sender;

/* SR and SDES with the CNAME, and BYE where `bye` (also of `other`, where that is not 0): a compound packet of at most
 * 28 + 80 + 12 bytes; returns its size. */
size_t lw_rtcp_sender_report(uint8_t *out, const lw_rtcp_sender *sender, int bye, uint32_t other);

/* A report block: RFC 3550, 6.4.1. */
typedef struct lw_rtcp_block {
    uint32_t ssrc, lost, highest, jitter, last_report, delay;
    uint8_t fraction;
} lw_rtcp_block;

/* draft-holmer-rmcat-transport-wide-cc-extensions-01, 3.1: read with lw_rtcp_status. */
typedef struct lw_rtcp_feedback {
    uint16_t first, count;
    int32_t reference; /* 24 bits, of 64 ms */
    uint8_t number;
    const uint8_t *chunk, *chunks_end, *delta, *end;
    uint32_t symbols; /* of the chunk that is being read: kind, and how many are left */
    int left, bits, run;
} lw_rtcp_feedback;

/* What is told of a compound packet, in its order. */
typedef struct lw_rtcp_reader {
    void *user;
    void (*block)(void *user, const lw_rtcp_block *block);
    void (*nack)(void *user, uint32_t ssrc, uint16_t first, uint16_t more); /* bit i of more: first + 1 + i */
    void (*key)(void *user, uint32_t ssrc, int fir); /* PLI: -1; FIR: its sequence number, 0..255 */
    void (*remb)(void *user, int64_t bitrate);
    void (*feedback)(void *user, lw_rtcp_feedback *feedback);
} lw_rtcp_reader;

/* Reads any bytes. Returns the number of packets in them that are malformed; behind one whose length cannot be right
 * nothing more is read. What is not for a sender is passed over. */
int lw_rtcp_read(const uint8_t *data, size_t size, const lw_rtcp_reader *reader);

/* The next packet of a feedback: 1 it arrived `*delta` times 250 us behind the one before that did (the first: behind
 * the reference time), 0 it did not arrive, or nothing is said of when; -1 there is none left. */
int lw_rtcp_status(lw_rtcp_feedback *feedback, int32_t *delta);

#endif
