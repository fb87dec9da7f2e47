/* What frames a hostile peer may send, and what it gets out of it: docs/security.md has the list. */
#include "hostile.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB 1024 /* in KiB */

/* Numbered messages, each of which inflates to more than the inbox holds. */
enum { BATCH = 200, BOMB = 270000 };

static unsigned bombs(void)
{
    return slowness() == 1 ? 25 * BATCH : BATCH;
}

static void *send_bombs(void *argument)
{
    unsigned char *frames = malloc(1 << 20), message[4096];
    for (unsigned n = 0; n < bombs();) {
        size_t length = 0;
        for (int i = 0; i < BATCH; i++, n++) {
            unsigned char head[3] = {n & 127, n >> 7 & 127, n >> 14 & 127};
            size_t size = deflate_zeros(message, head, 3, BOMB);
            length += put_frame(frames + length, 0xc2, true, message, size);
        }
        raw_write(*(int *)argument, frames, length);
    }
    free(frames);
    return NULL;
}

TEST(S14_pauses_while_messages_inflate_lose_and_reorder_nothing)
{
    struct loop loop;
    pthread_t thread;
    int fd;
    int64_t end = now_ms() + PATIENCE * 3;
    cmws_options_t options = options_default();
    cmws_handle_t server;
    options.read_limit = BOMB;
    set(&options, "compression", 1);
    server = open_hostile(&loop, &options, DEFLATE, &fd);
    CHECK(pthread_create(&thread, NULL, send_bombs, &fd) == 0);
    for (unsigned n = 0; n < bombs() && now_ms() < end;) {
        /* Without poll, so that what was made room for is taken from another thread at once. */
        cmws_message_t message;
        size_t count;
        CHECK_OK(cmws_connection_receive(server, &message, sizeof message, 1, &count));
        if (count == 0)
            continue;
        CHECK_INT(message.length, BOMB + 3);
        CHECK_INT(message.data[0] | message.data[1] << 7 | message.data[2] << 14, n);
        release(&message);
        n++;
    }
    CHECK(now_ms() < end);
    pthread_join(thread, NULL);
}

/* A socket of this connection that nobody reads and that takes no more, or is closed. */
static size_t send_until_full(struct loop *loop, int fd, const unsigned char *data, size_t length,
                              size_t most)
{
    size_t sent = 0;
    for (int quiet = 0; quiet < 20 && sent < most;) {
        size_t at = sent % length;
        ssize_t n = send(fd, data + at, length - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
            quiet = 0;
        } else {
            quiet++;
            loop_run(loop, 10);
        }
    }
    return sent;
}

static cmws_options_t compressing(bool takeover)
{
    cmws_options_t options = options_default();
    set(&options, "compression", 1);
    set(&options, "context_takeover", takeover);
    return options;
}

/* 64 MiB of zeros in 430 KB: the limit of 1 MiB holds, and so do memory and time. */
static void expect_bomb_refused(struct loop *loop, cmws_handle_t connection, int fd, bool masked)
{
    unsigned char *message = malloc(1 << 19), *frame = malloc(1 << 19);
    size_t length = deflate_zeros(message, NULL, 0, 64 << 20);
    long before, cpu = cpu_ms();
    CHECK(length < 440000);
    length = put_frame(frame, 0xc2, masked, message, length);
    before = resident_kib();
    raw_write(fd, frame, length);
    CHECK_INT(code_of_close(fd), 1009);
    raw_send_close(fd, masked, 1009, "");
    CHECK_STATUS(loop_wait(loop, CMWS_EVENT_CLOSED, connection).status, CMWS_STATUS_TOO_BIG);
    CHECK(resident_kib() - before < 4 * MIB);
    CHECK(cpu_ms() - cpu < 3000);
}

TEST(S30_a_deflate_bomb_for_a_server_ends_at_the_limit)
{
    struct loop loop;
    int fd;
    cmws_options_t options = compressing(false);
    cmws_handle_t server = open_hostile(&loop, &options, DEFLATE, &fd);
    expect_bomb_refused(&loop, server, fd, true);
}

TEST(S30_a_deflate_bomb_for_a_client_ends_at_the_limit)
{
    struct loop loop;
    int fd;
    cmws_handle_t client = dial_hostile(&loop, NULL, DEFLATED, &fd);
    expect_bomb_refused(&loop, client, fd, false);
}

TEST(S30_a_bomb_spread_over_small_messages_with_context_takeover)
{
    /* Each message is 1000 KiB in 6.5 KB; nobody takes them, then somebody takes them all. */
    struct loop loop;
    unsigned char message[8192], frame[8300];
    size_t length, sent, taken = 0;
    long before, most = 0;
    int fd;
    cmws_options_t options = compressing(true);
    cmws_handle_t server = open_hostile(&loop, &options, DEFLATE, &fd);
    length = deflate_zeros(message, NULL, 0, 1000 << 10);
    length = put_frame(frame, 0xc2, true, message, length);
    before = resident_kib();
    sent = send_until_full(&loop, fd, frame, length, 64 << 20);
    CHECK(sent > 10 * length); /* what inflates to more than 10 MiB */
    CHECK(resident_kib() - before < 6 * MIB);
    while (taken < sent / length) {
        cmws_message_t taking;
        CHECK(next_message(&loop, server, &taking));
        CHECK_INT(taking.length, 1000 << 10);
        release(&taking);
        taken++;
        if (resident_kib() > most)
            most = resident_kib();
    }
    CHECK(most - before < 8 * MIB);
}

/* Declares a length, of a message or of a fragment behind one of a byte; sends none of it. */
static void expect_length(uint64_t length, bool server, bool behind, unsigned code)
{
    struct loop loop;
    unsigned char head[14] = {0x82, 127};
    size_t size = server ? 14 : 10;
    long before;
    int fd;
    if (server)
        open_hostile(&loop, NULL, "", &fd);
    else
        dial_hostile(&loop, NULL, "", &fd);
    before = resident_kib();
    if (behind) {
        unsigned char first[16];
        raw_write(fd, first, put_frame(first, 0x02, server, "x", 1));
        head[0] = 0x80;
    }
    head[1] |= server ? 0x80 : 0;
    for (int i = 0; i < 8; i++)
        head[2 + i] = (unsigned char)(length >> (56 - 8 * i));
    raw_write(fd, head, size);
    CHECK_INT(code_of_close(fd), code);
    CHECK(resident_kib() - before < 600);
}

TEST(S30_lengths_near_the_powers_of_two_are_refused_at_once)
{
    static const int powers[] = {31, 32, 63};
    for (int i = 0; i < 3; i++)
        for (int less = -1; less <= 1; less++)
            for (int kind = 0; kind < 4; kind++) {
                uint64_t length = ((uint64_t)1 << powers[i]) + (uint64_t)less;
                expect_length(length, kind & 1, kind & 2, length >> 63 ? 1002 : 1009);
            }
    expect_length(UINT64_MAX, true, false, 1002);
    expect_length(UINT64_MAX, false, true, 1002);
}

TEST(S30_a_declared_length_of_a_compressed_frame_takes_no_memory)
{
    enum { MANY = 100 };
    struct loop loop;
    /* Near 2^63: nothing is known of its size before it is inflated. */
    unsigned char head[14] = {0xc2, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    cmws_options_t options = compressing(true);
    cmws_handle_t listener;
    int fds[MANY];
    long before;
    loop_open(&loop);
    listener = loop_listen(&loop, &options);
    for (int i = 0; i < MANY; i++) {
        fds[i] = open_with(listener_port(listener), DEFLATE);
        loop_accept(&loop, listener);
    }
    before = resident_kib();
    for (int i = 0; i < MANY; i++)
        raw_write(fds[i], head, sizeof head);
    loop_run(&loop, 300);
    CHECK(resident_kib() - before < 2 * MIB);
}

/* Fragments without end, each of them of `length` bytes. */
static void expect_fragments_end(bool compressed, size_t length)
{
    /* Stored blocks without content: they inflate to nothing. */
    static const unsigned char blocks[] = {0, 0, 0, 0xff, 0xff};
    struct loop loop;
    unsigned char *frames = malloc(20 * 16), first[16];
    size_t size = 0, sent;
    long before, cpu;
    int fd;
    cmws_options_t options = compressing(false);
    cmws_handle_t server = open_hostile(&loop, &options, DEFLATE, &fd);
    for (int i = 0; i < 20; i++)
        size += put_frame(frames + size, 0x00, true, blocks + (compressed ? (i + 1) % 5 : 0), length);
    before = resident_kib();
    cpu = cpu_ms();
    raw_write(fd, first, put_frame(first, compressed ? 0x42 : 0x02, true, blocks, length));
    sent = send_until_full(&loop, fd, frames, size, 200000 * (6 + length));
    CHECK(sent > 100000 * (6 + length));
    CHECK_INT(code_of_close(fd), 1009);
    CHECK(resident_kib() - before < 4 * MIB);
    CHECK(cpu_ms() - cpu < 10000);
    close(fd);
    CHECK_STATUS(loop_wait(&loop, CMWS_EVENT_CLOSED, server).status, CMWS_STATUS_TOO_BIG);
}

TEST(S30_endless_empty_fragments_end_with_1009)
{
    expect_fragments_end(false, 0);
}

TEST(S30_endless_tiny_fragments_end_with_1009)
{
    expect_fragments_end(false, 1);
}

TEST(S30_endless_empty_compressed_fragments_end_with_1009)
{
    expect_fragments_end(true, 0);
}

TEST(S30_endless_tiny_compressed_fragments_end_with_1009)
{
    expect_fragments_end(true, 1);
}

TEST(S29_an_echo_server_and_a_peer_that_pings_and_never_reads)
{
    struct loop loop;
    unsigned char *frames = malloc(64 << 10), payload[2000] = {0};
    size_t size = 0, sent = 0;
    long before;
    int fd;
    cmws_handle_t server = open_hostile(&loop, NULL, "", &fd);
    bool full = false;
    for (int i = 0; i < 20; i++) {
        size += put_frame(frames + size, 0x82, true, payload, sizeof payload);
        for (int ping = 0; ping < 5; ping++)
            size += put_frame(frames + size, 0x89, true, payload, 125);
    }
    before = resident_kib();
    for (int quiet = 0; quiet < 20;) {
        cmws_message_t message;
        size_t count, at = sent % size;
        ssize_t n = send(fd, frames + at, size - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        quiet = n > 0 ? 0 : quiet + 1;
        loop_run(&loop, n > 0 ? 0 : 10);
        CHECK(sent < 256 << 20);
        while (!full) {
            CHECK_OK(cmws_connection_receive(server, &message, sizeof message, 1, &count));
            if (count == 0)
                break;
            full = cmws_connection_send(server, CMWS_MESSAGE_BINARY, message.data, message.length,
                                        0) == CMWS_STATUS_WOULD_BLOCK;
            release(&message);
        }
    }
    CHECK(full);
    CHECK(resident_kib() - before < 4 * MIB);
}
