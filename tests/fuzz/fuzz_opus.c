/* Any bytes as an Opus packet. The first two say how much to pad by. */
#include <stdio.h>

#include "../c/opus_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    /* An allocation of just its size: a byte read too far shows. */
    uint8_t *packet = malloc(n - 2 ? n - 2 : 1);
    if (!packet)
        return 0;
    memcpy(packet, data + 2, n - 2);
    const char *wrong = opus_check(n == 2 ? NULL : packet, n - 2, (size_t)(data[0] | (data[1] & 15) << 8));
    if (wrong) {
        fprintf(stderr, "%s\n", wrong);
        abort();
    }
    free(packet);
    return 0;
}
