/* Pings, pongs and dead peers: what the library does by itself. */
#include "support.h"
#include "raw.h"

#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

static cmws_options_t pings(double interval, double timeout)
{
    cmws_options_t options = options_default();
    CHECK_OK(cmws_options_set(&options, "ping_interval", 13, interval));
    CHECK_OK(cmws_options_set(&options, "ping_timeout", 12, timeout));
    return options;
}

/* A listener with these options, and a raw client of it. */
static cmws_handle_t open_raw(struct loop *loop, const cmws_options_t *options, int *out_fd)
{
    cmws_handle_t listener;
    loop_open(loop);
    listener = loop_listen(loop, options);
    *out_fd = raw_open(listener_port(listener));
    return loop_accept(loop, listener);
}

static void read_ping(int fd, struct frame *ping)
{
    do
        CHECK(raw_read(fd, ping));
    while (ping->opcode != OP_PING);
}

static void wait_for_latency(struct loop *loop, cmws_handle_t connection)
{
    int64_t end = now_ms() + PATIENCE;
    while (info_of(connection).latency_us == 0) {
        CHECK(now_ms() < end);
        loop_poll(loop, 10);
    }
}

TEST(S28_round_trips_of_pings_are_measured)
{
    struct loop loop;
    struct frame ping;
    cmws_options_t options = pings(0.05, 20);
    int fd;
    cmws_handle_t server = open_raw(&loop, &options, &fd);
    cmws_connection_info_t info;
    read_ping(fd, &ping);
    CHECK(ping.length > 0 && ping.length <= 125 && !ping.masked);
    /* A pong that was not asked for counts for nothing. */
    raw_send(fd, OP_PONG, true, "none", 4);
    raw_send(fd, OP_TEXT, true, "behind it", 9);
    CHECK_RECEIVES(&loop, server, "behind it");
    CHECK_INT(info_of(server).latency_us, 0);
    sleep_ms(20);
    raw_send(fd, OP_PONG, true, ping.payload, ping.length);
    wait_for_latency(&loop, server);
    info = info_of(server);
    CHECK(info.latency_us >= 20000);
    CHECK_INT(info.smoothed_latency_us, info.latency_us);
    /* The next ones follow, each with something else in it. */
    for (int i = 0; i < 3; i++) {
        struct frame next;
        read_ping(fd, &next);
        CHECK(next.length != ping.length || memcmp(next.payload, ping.payload, ping.length) != 0);
        raw_send(fd, OP_PONG, true, next.payload, next.length);
        ping = next;
    }
    CHECK_INT(info_of(server).state, CMWS_STATE_OPEN);
}

TEST(S28_no_pings_with_an_interval_of_0)
{
    struct loop loop;
    struct frame frame;
    cmws_options_t options = pings(0, 0.05);
    int fd;
    cmws_handle_t server = open_raw(&loop, &options, &fd);
    sleep_ms(500);
    CHECK_OK(send_text(server, "first"));
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_TEXT);
}

TEST(S28_a_peer_that_sends_no_pong_is_told_1011)
{
    struct loop loop;
    struct frame frame;
    struct seen closed;
    cmws_options_t options = pings(0.05, 0.2);
    int fd;
    cmws_handle_t server = open_raw(&loop, &options, &fd);
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, server);
    CHECK_INT(closed.status, CMWS_STATUS_TIMEOUT);
    CHECK_INT(closed.close_code, 1011);
    CHECK_TEXT(closed.text, "no pong within ping_timeout");
    do
        CHECK(raw_read(fd, &frame));
    while (frame.opcode == OP_PING);
    CHECK_INT(frame.opcode, OP_CLOSE);
    CHECK_INT(frame.code, 1011);
}

TEST(S28_a_client_s_pings_are_masked_and_its_end_is_told_too)
{
    struct loop loop;
    struct frame ping;
    cmws_options_t options = pings(0.05, 0.2);
    uint16_t port;
    int fd, listener = raw_listen(&port);
    cmws_handle_t client;
    loop_open(&loop);
    client = loop_connect(&loop, port, &options);
    fd = raw_serve(listener);
    read_ping(fd, &ping);
    CHECK(ping.masked);
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, client).close_code, 1011);
}

/* Neither side polls its mailbox: all is done by the library. */
TEST(S28_a_program_that_computes_keeps_its_connections)
{
    struct pair pair;
    struct frame frame;
    cmws_options_t options = pings(0.02, 0.5);
    int fd;
    pair_open(&pair, &options, &options);
    fd = raw_open(listener_port(pair.listener));
    sleep_ms(1500);
    CHECK_INT(info_of(pair.server).state, CMWS_STATE_OPEN);
    CHECK_INT(info_of(pair.client).state, CMWS_STATE_OPEN);
    CHECK(info_of(pair.server).latency_us > 0 && info_of(pair.client).latency_us > 0);
    CHECK_OK(send_text(pair.client, "still here"));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "still here");
    /* Meanwhile a dead one was told so, and its pings were answered before. */
    do
        CHECK(raw_read(fd, &frame));
    while (frame.opcode == OP_PING);
    CHECK_INT(frame.code, 1011);
}

/* Fills an inbox past its read_limit, so that reading pauses. */
static void fill(int fd, int count)
{
    char data[1000] = {0};
    for (int i = 0; i < count; i++)
        raw_send(fd, OP_BINARY, true, data, sizeof data);
}

TEST(S28_while_reading_is_paused_the_pong_is_waited_for)
{
    struct loop loop;
    struct frame ping;
    cmws_options_t options = pings(0.05, 0.5);
    cmws_message_t message;
    int fd;
    cmws_handle_t server;
    options.read_limit = 1000;
    server = open_raw(&loop, &options, &fd);
    fill(fd, 100);
    /* The answers to all pings lie behind that. */
    for (int64_t end = now_ms() + 2000; now_ms() < end;) {
        read_ping(fd, &ping);
        raw_send(fd, OP_PONG, true, ping.payload, ping.length);
        if (now_ms() >= end)
            break;
    }
    CHECK_INT(info_of(server).state, CMWS_STATE_OPEN);
    CHECK_INT(info_of(server).latency_us, 0);
    for (int i = 0; i < 100; i++) {
        CHECK(next_message(&loop, server, &message));
        CHECK_INT(message.length, 1000);
        release(&message);
    }
    wait_for_latency(&loop, server);
    CHECK_INT(info_of(server).state, CMWS_STATE_OPEN);
}

TEST(S28_while_reading_is_paused_a_dead_system_is_noticed)
{
    struct loop loop;
    struct frame ping;
    struct seen closed;
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog filter = {1, &nothing};
    cmws_options_t options = pings(0.05, 0.3);
    int fd;
    cmws_handle_t server;
    options.read_limit = 1000;
    server = open_raw(&loop, &options, &fd);
    fill(fd, 100);
    read_ping(fd, &ping);
    sleep_ms(1000);
    CHECK_INT(info_of(server).state, CMWS_STATE_OPEN);
    /* From now on the peer's system takes nothing that comes, and acknowledges nothing. */
    CHECK(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0);
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, server);
    CHECK_INT(closed.status, CMWS_STATUS_TIMEOUT);
}

/* A peer that vanishes while much is on its way to it. */
TEST(S28_a_peer_that_vanishes_while_we_send_is_noticed)
{
    struct loop loop;
    struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog filter = {1, &nothing};
    cmws_options_t options = pings(0.05, 0.3);
    uint8_t *data = calloc(1, 100000);
    int64_t start;
    int fd;
    cmws_handle_t server = open_raw(&loop, &options, &fd);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) == 0);
    while (cmws_connection_send(server, CMWS_MESSAGE_BINARY, data, 100000, 0) == CMWS_STATUS_OK)
        ;
    start = now_ms();
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, server).status, CMWS_STATUS_TIMEOUT);
    CHECK(now_ms() - start < 8000); /* close_timeout is 10 s */
    free(data);
}

TEST(S28_a_ping_that_is_asked_for_has_its_pong_told)
{
    struct loop loop;
    struct frame ping;
    struct seen seen;
    cmws_options_t options = pings(0, 20);
    int fd;
    cmws_handle_t server = open_raw(&loop, &options, &fd);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(cmws_connection_ping(server));
        read_ping(fd, &ping);
        CHECK_OK(cmws_connection_ping(server)); /* the one under way serves both */
        sleep_ms(20);
        CHECK(!loop_take(&loop, CMWS_EVENT_PONG, server, &seen));
        raw_send(fd, OP_PONG, true, ping.payload, ping.length);
        loop_wait(&loop, CMWS_EVENT_PONG, server);
        CHECK(info_of(server).latency_us >= 20000);
    }
    CHECK_OK(cmws_connection_close(server, 1000, "", 0));
    CHECK_STATUS(cmws_connection_ping(server), CMWS_STATUS_CLOSED);
    CHECK(raw_read(fd, &ping));
    CHECK_INT(ping.opcode, OP_CLOSE);
}

TEST(S28_a_ping_that_is_asked_for_must_have_its_pong_in_time)
{
    struct loop loop;
    struct frame ping;
    cmws_options_t options = pings(0, 0.2);
    int fd;
    cmws_handle_t server = open_raw(&loop, &options, &fd);
    CHECK_OK(cmws_connection_ping(server));
    read_ping(fd, &ping);
    CHECK(raw_read(fd, &ping));
    CHECK_INT(ping.code, 1011);
    raw_send_close(fd, true, 1011, "");
    CHECK_STATUS(loop_wait(&loop, CMWS_EVENT_CLOSED, server).status, CMWS_STATUS_TIMEOUT);
}
