/* The most memory that one connection can cost, in each direction: measured over many. */
#include "support.h"
#include "raw.h"

#include <sys/socket.h>
#include <unistd.h>

enum { MANY = 48, KIB = 1024 };

struct crowd {
    struct loop loop;
    cmws_handle_t listener, handles[MANY];
    int fds[MANY];
    long before;
};

static void crowd_open(struct crowd *crowd, const cmws_options_t *options)
{
    loop_open(&crowd->loop);
    crowd->listener = loop_listen(&crowd->loop, options);
    for (int i = 0; i < MANY; i++) {
        crowd->fds[i] = raw_open(listener_port(crowd->listener));
        crowd->handles[i] = loop_accept(&crowd->loop, crowd->listener);
    }
    crowd->before = resident_kib();
}

/* KiB for each connection. */
static long crowd_cost(const struct crowd *crowd)
{
    long cost = (resident_kib() - crowd->before) / MANY;
    printf("  %ld KiB for each connection\n", cost);
    return cost;
}

/* Sends the same bytes over and over, until every socket is full and stays so. */
static void flood(struct crowd *crowd, const unsigned char *data, size_t length)
{
    size_t at[MANY] = {0};
    for (int quiet = 0; quiet < 20;) {
        bool moved = false;
        for (int i = 0; i < MANY; i++) {
            ssize_t n = send(crowd->fds[i], data + at[i], length - at[i], MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n > 0) {
                at[i] = (at[i] + (size_t)n) % length;
                moved = true;
            }
        }
        quiet = moved ? 0 : quiet + 1;
        if (!moved)
            sleep_ms(10);
    }
}

/* The most is `read_limit`, a message that is not complete, what one turn decodes, and what one read
 * brings: 64 + 256 + 256 + 64 KiB. */
static void nobody_receives(size_t length)
{
    struct crowd crowd;
    cmws_options_t options = options_default();
    options.read_limit = 64 * KIB;
    options.max_message_size = 256 * KIB;
    /* Small frames go many at a time. */
    size_t copies = length < KIB ? 1000 : 1;
    unsigned char *data = calloc(copies, 14 + length), *at = data;
    *at++ = 0x80 | OP_BINARY;
    if (length > 65535) {
        *at++ = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            *at++ = (unsigned char)(length >> shift);
    } else if (length > 125) {
        *at++ = 0x80 | 126;
        *at++ = (unsigned char)(length >> 8);
        *at++ = (unsigned char)length;
    } else {
        *at++ = (unsigned char)(0x80 | length);
    }
    size_t frame = (size_t)(at - data) + 4 + length;
    for (size_t i = 1; i < copies; i++)
        memcpy(data + i * frame, data, frame);
    crowd_open(&crowd, &options);
    flood(&crowd, data, frame * copies);
    CHECK(crowd_cost(&crowd) <= 64 + 256 + 256 + 64);
    free(data);
}

TEST(S29_the_most_that_a_script_that_never_receives_costs_with_large_messages)
{
    nobody_receives(256 * KIB);
}

TEST(S29_the_most_that_a_script_that_never_receives_costs_with_small_messages)
{
    nobody_receives(100);
}

TEST(S29_the_most_that_a_script_that_never_receives_costs_with_empty_messages)
{
    nobody_receives(0);
}

/* The most is `write_limit`, a third of it that has left, and the message that passes it; 16 KiB are for all
 * else that a connection has. */
static void peers_never_read(size_t length, bool in_fragments)
{
    struct crowd crowd;
    cmws_options_t options = options_default();
    uint8_t *data = calloc(1, length);
    options.write_limit = 64 * KIB;
    crowd_open(&crowd, &options);
    for (int i = 0; i < MANY; i++) {
        cmws_handle_t handle = crowd.handles[i];
        uint64_t message = 0;
        if (in_fragments)
            CHECK_OK(cmws_connection_begin(handle, CMWS_MESSAGE_BINARY, 0, &message));
        for (int full = 0; full < 10;) {
            cmws_status_t status = in_fragments
                                       ? cmws_connection_write(handle, message, data, length, 0)
                                       : cmws_connection_send(handle, CMWS_MESSAGE_BINARY, data, length, 0);
            if (status == CMWS_STATUS_WOULD_BLOCK) {
                full++;
                sleep_ms(1);
            } else {
                CHECK_OK(status);
                full = 0;
            }
        }
    }
    CHECK(crowd_cost(&crowd) <= 64 * 4 / 3 + (long)length / KIB + 16);
    free(data);
}

TEST(S20_the_most_that_a_peer_that_never_reads_costs_with_large_messages)
{
    peers_never_read(256 * KIB, false);
}

TEST(S20_the_most_that_a_peer_that_never_reads_costs_with_small_messages)
{
    peers_never_read(100, false);
}

TEST(S37_the_most_that_a_peer_that_never_reads_costs_with_fragments)
{
    peers_never_read(100 * KIB, true);
}

/* A sanitizer asks for memory in its own way. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* The memory that this process has asked for, used or not, in KiB. */
static long asked_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%*d %*d %*d %*d %*d %ld", &pages) == 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE) / KIB;
}

/* Where pages come in large pieces, all of what was asked for may be resident. */
TEST(S20_a_peer_that_never_reads_has_no_more_room_than_the_limit_asks_for)
{
    struct crowd crowd;
    cmws_options_t options = options_default();
    uint8_t data[1000] = {0};
    if (SANITIZED || slowness() > 1)
        test_skip("memory is asked for in other pieces here");
    options.write_limit = 8 * KIB;
    crowd_open(&crowd, &options);
    long before = asked_kib();
    for (int i = 0; i < MANY; i++)
        for (int full = 0; full < 10;) {
            cmws_status_t status =
                cmws_connection_send(crowd.handles[i], CMWS_MESSAGE_BINARY, data, sizeof data, 0);
            full = status == CMWS_STATUS_WOULD_BLOCK ? full + 1 : 0;
            if (full)
                sleep_ms(1);
            else
                CHECK_OK(status);
        }
    long cost = (asked_kib() - before) / MANY;
    printf("  %ld KiB for each connection\n", cost);
    CHECK(cost <= 4 * 8);
}
