/* Sends many messages of mixed sizes through an echo server and checks each one that comes back:
 * its content, its kind, its order; none lost, none twice.
 *
 *     echo_load --url ws://127.0.0.1:1042/ [--count N] [--connections N] [--window N]
 */
#define _POSIX_C_SOURCE 200809L

#include <coromega_ws.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EVENTS = 256, BATCH = 64, LARGEST = 65536, SLOTS = 8192, PATIENCE_MS = 60000 };

struct peer {
    cmws_handle_t handle;
    unsigned number;
    long sent, received, quota;
    int open, blocked, closed;
};

static struct peer *peers;
static struct peer *slots[SLOTS];
static unsigned peer_count = 100;
static long window = 16, ended;
static unsigned long long bytes;
static char pattern[LARGEST * 2];

#define FAIL(...)                                                                                  \
    do {                                                                                           \
        fprintf(stderr, "echo_load: " __VA_ARGS__);                                                \
        fputc('\n', stderr);                                                                       \
        exit(1);                                                                                   \
    } while (0)

static void check(cmws_status_t status, const char *what)
{
    if (status != CMWS_STATUS_OK)
        FAIL("%s: %s", what, cmws_last_error_text());
}

/* A well-mixed number that depends on nothing but its input. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* What the message with this index on this connection is: mostly small ones, some empty, some at
 * the lengths at which the frame's head grows, a few large. */
static size_t make(const struct peer *peer, long index, char *out, uint32_t *kind)
{
    uint64_t random = mix((uint64_t)peer->number << 40 | (uint64_t)index);
    unsigned class = random % 1000;
    size_t length, spread = (size_t)(random >> 12);
    *kind = random & 1024 ? CMWS_MESSAGE_TEXT : CMWS_MESSAGE_BINARY;
    if (class < 10)
        length = 0;
    else if (class < 700)
        length = 1 + spread % 200;
    else if (class < 720)
        length = 124 + spread % 4;
    else if (class < 970)
        length = 200 + spread % 2000;
    else if (class < 997)
        length = 4096 + spread % 12288;
    else
        length = LARGEST - 3 + spread % 4;
    memcpy(out, pattern + (spread >> 20) % 4096, length);
    if (length >= 16) {
        char head[17];
        snprintf(head, sizeof head, "%06u:%08lx:", peer->number % 1000000, index & 0xffffffffL);
        memcpy(out, head, 16);
    }
    return length;
}

static struct peer **slot_of(cmws_handle_t handle)
{
    size_t at = mix(handle) % SLOTS;
    while (slots[at] != NULL && slots[at]->handle != handle)
        at = (at + 1) % SLOTS;
    return &slots[at];
}

static void send_more(struct peer *peer)
{
    static char data[LARGEST];
    while (peer->open && !peer->blocked && peer->sent < peer->quota &&
           peer->sent - peer->received < window) {
        uint32_t kind;
        size_t length = make(peer, peer->sent, data, &kind);
        cmws_status_t status = cmws_connection_send(peer->handle, kind, (const uint8_t *)data,
                                                    length, CMWS_SEND_NOTIFY);
        if (status == CMWS_STATUS_WOULD_BLOCK) {
            peer->blocked = 1;
            return;
        }
        check(status, "send");
        peer->sent++;
        bytes += length;
    }
}

static void take(struct peer *peer, const cmws_message_t *message)
{
    static char expected[LARGEST];
    uint32_t kind;
    size_t length;
    if (peer->received == peer->sent)
        FAIL("connection %u: a message that was never sent", peer->number);
    length = make(peer, peer->received, expected, &kind);
    if (message->kind != kind || message->length != length ||
        memcmp(message->data, expected, length) != 0)
        FAIL("connection %u, message %ld: got %zu bytes of kind %u, not the %zu of kind %u sent: "
             "%.24s",
             peer->number, peer->received, message->length, (unsigned)message->kind, length,
             (unsigned)kind, (const char *)message->data);
    peer->received++;
}

static void receive_all(struct peer *peer)
{
    cmws_message_t messages[BATCH];
    size_t count;
    do {
        if (cmws_connection_receive(peer->handle, messages, sizeof messages[0], BATCH, &count) !=
            CMWS_STATUS_OK)
            return;
        for (size_t i = 0; i < count; i++)
            take(peer, &messages[i]);
        cmws_message_release(messages, sizeof messages[0], count);
    } while (count == BATCH);
    send_more(peer);
    if (peer->received == peer->quota && !peer->closed) {
        peer->closed = 1;
        check(cmws_connection_close(peer->handle, 1000, NULL, 0), "close");
    }
}

static void dispatch(const cmws_event_t *event)
{
    struct peer *peer = *slot_of(event->handle);
    if (peer == NULL)
        return;
    switch (event->kind) {
    case CMWS_EVENT_OPEN:
        peer->open = 1;
        send_more(peer);
        break;
    case CMWS_EVENT_WRITABLE:
        peer->blocked = 0;
        send_more(peer);
        break;
    case CMWS_EVENT_READABLE:
        receive_all(peer);
        break;
    case CMWS_EVENT_CLOSED:
        receive_all(peer);
        if (!peer->closed || event->close_code != 1000 || event->status != CMWS_STATUS_OK)
            FAIL("connection %u ended after %ld of %ld messages: %s %d %s", peer->number,
                 peer->received, peer->quota, cmws_status_text(event->status), event->close_code,
                 event->text);
        ended++;
        break;
    default:
        break;
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static cmws_event_t events[EVENTS];
    const char *url = NULL;
    long count = 200000;
    cmws_handle_t mailbox;
    double start = now();
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--url") == 0)
            url = argv[i + 1];
        else if (strcmp(argv[i], "--count") == 0)
            count = atol(argv[i + 1]);
        else if (strcmp(argv[i], "--connections") == 0)
            peer_count = (unsigned)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--window") == 0)
            window = atol(argv[i + 1]);
        else
            FAIL("there is no option %s", argv[i]);
    }
    if (url == NULL || peer_count == 0 || peer_count > SLOTS / 2 || count < (long)peer_count)
        FAIL("usage: echo_load --url ADDRESS [--count N] [--connections N] [--window N]");
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[mix(i) % 36];

    check(cmws_mailbox_new(&mailbox), "mailbox");
    peers = calloc(peer_count, sizeof *peers);
    for (unsigned i = 0; i < peer_count; i++) {
        peers[i].number = i;
        peers[i].quota = count / peer_count + (i < count % peer_count);
        check(cmws_mailbox_connect(mailbox, url, strlen(url), NULL, 0, NULL, &peers[i].handle),
              "connect");
        *slot_of(peers[i].handle) = &peers[i];
    }
    while (ended < (long)peer_count) {
        size_t n;
        check(cmws_mailbox_poll(mailbox, PATIENCE_MS, events, sizeof events[0], EVENTS, &n),
              "poll");
        if (n == 0)
            FAIL("nothing has come for a minute");
        for (size_t i = 0; i < n; i++)
            dispatch(&events[i]);
    }
    check(cmws_mailbox_close(mailbox), "mailbox");
    printf("%ld messages, %.1f MB each way, %u connections, %.1f s\n", count, (double)bytes / 1e6,
           peer_count, now() - start);
    return 0;
}
