/* The packets that wait or are kept. Those that came back are taken again first, so that what has never been needed stays
 * untouched, and costs no memory. */
#include "sender.h"

#define SCARCE 8 /* of the packets are left: what is kept goes before anything new is refused */

static int32_t take(lw_net *net)
{
    int32_t packet = net->free_packet;
    if (packet >= 0)
        net->free_packet = net->pool[packet].next;
    else if (net->fresh < net->packets)
        packet = net->fresh++;
    else
        return -1;
    net->free_packets--;
    return packet;
}

int32_t lw_pool_take(lw_net *net)
{
    pthread_mutex_lock(&net->lock);
    int32_t packet = take(net);
    pthread_mutex_unlock(&net->lock);
    if (packet >= 0) {
        net->pool[packet].refs = 1;
        net->pool[packet].next = -1;
    }
    return packet;
}

void lw_pool_give(lw_net *net, int32_t packet)
{
    pthread_mutex_lock(&net->lock);
    while (packet >= 0) {
        int32_t next = net->pool[packet].next;
        net->pool[packet].next = net->free_packet;
        net->free_packet = packet;
        net->free_packets++;
        packet = next;
    }
    pthread_mutex_unlock(&net->lock);
}

void lw_pool_hold(lw_net *net, int32_t packet)
{
    for (; packet >= 0; packet = net->pool[packet].next)
        net->pool[packet].refs++;
}

void lw_pool_drop(lw_net *net, int32_t packet)
{
    if (--net->pool[packet].refs)
        return;
    net->pool[packet].next = net->released;
    if (net->released < 0)
        net->released_last = packet;
    net->released = packet;
    net->released_packets++;
}

void lw_pool_drop_unit(lw_net *net, int32_t packet)
{
    while (packet >= 0) {
        int32_t next = net->pool[packet].next;
        lw_pool_drop(net, packet);
        packet = next;
    }
}

void lw_pool_settle(lw_net *net)
{
    pthread_mutex_lock(&net->lock);
    if (net->released >= 0) {
        net->pool[net->released_last].next = net->free_packet;
        net->free_packet = net->released;
        net->free_packets += net->released_packets;
    }
    net->scarce = net->free_packets < net->packets / SCARCE;
    pthread_mutex_unlock(&net->lock);
    net->released = -1;
    net->released_packets = 0;
}
