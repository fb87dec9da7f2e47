/* What a listener lets in: connections in all and from an address, handshakes at a time, messages
 * and bytes a second, and for how long. */
#include "support.h"
#include "raw.h"

#include <sys/socket.h>
#include <unistd.h>

static cmws_options_t option(const char *name, double value)
{
    cmws_options_t options = options_default();
    CHECK_OK(cmws_options_set(&options, name, strlen(name), value));
    return options;
}

static void ask(int fd)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                                  "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    raw_write(fd, request, sizeof request - 1);
}

/* The first line of what a client is answered; the answer of one that is refused ends. */
static void check_refused(uint16_t port, const char *status)
{
    char answer[1024];
    int fd = raw_connect(port);
    ask(fd);
    raw_read_all(fd, answer, sizeof answer);
    CHECK_SAYS(answer, status);
    close(fd);
}

static void check_limit(const char *name, const char *status)
{
    struct loop loop;
    cmws_options_t options = option(name, 2);
    cmws_counters_t counters;
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, &options);
    uint16_t port = listener_port(listener);
    int first = raw_open(port), second = raw_open(port);
    check_refused(port, status);
    check_refused(port, status);
    cmws_handle_t taken = loop_accept(&loop, listener);
    loop_accept(&loop, listener);

    /* A connection counts until its socket is closed. */
    CHECK_OK(cmws_connection_close(taken, 1000, NULL, 0));
    check_refused(port, status);
    close(first);
    loop_wait(&loop, CMWS_EVENT_CLOSED, taken);
    first = raw_open(port);
    loop_accept(&loop, listener);
    CHECK_OK(cmws_listener_counters(listener, sizeof counters, &counters));
    CHECK_INT(counters.refused, 3);
    CHECK_INT(counters.opened, 3);
    close(first);
    close(second);
    cmws_options_clear(&options);
}

TEST(S30_clients_over_max_connections_are_answered_503)
{
    check_limit("max_connections", "HTTP/1.1 503 ");
}

TEST(S30_clients_over_max_connections_per_address_are_answered_429)
{
    check_limit("max_connections_per_address", "HTTP/1.1 429 ");
}

TEST(S30_handshakes_over_max_handshakes_wait_for_their_turn)
{
    struct loop loop;
    cmws_options_t options = option("max_handshakes", 2);
    char head[2048], byte;
    loop_open(&loop);
    uint16_t port = listener_port(loop_listen(&loop, &options));
    int slow = raw_connect(port), silent = raw_connect(port);
    raw_write(slow, "GET", 3);
    sleep_ms(50); /* both have been accepted */
    int waiting = raw_connect(port);
    ask(waiting);
    sleep_ms(200);
    CHECK_INT(recv(waiting, &byte, 1, MSG_DONTWAIT), -1);
    close(slow);
    raw_read_head(waiting, head, sizeof head);
    CHECK_SAYS(head, "HTTP/1.1 101 ");
    close(silent);
    close(waiting);
    cmws_options_clear(&options);
}

/* Sends so many messages of a size at once, and checks that all come, in how many milliseconds at
 * least; and that they come as bytes that are split anywhere. */
static void check_rate(cmws_options_t *options, int count, int size, int least)
{
    struct loop loop;
    char *data = malloc((size_t)size);
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, options);
    int fd = raw_open(listener_port(listener));
    cmws_handle_t taken = loop_accept(&loop, listener);
    int64_t start = now_ms();
    pid_t sender = fork();
    if (sender == 0) {
        for (int i = 0; i < count; i++) {
            memset(data, 'a' + i % 26, (size_t)size);
            raw_send(fd, OP_TEXT, true, data, (size_t)size);
        }
        raw_send_close(fd, true, 1000, "");
        _exit(0);
    }
    for (int i = 0; i < count; i++) {
        cmws_message_t message;
        CHECK(next_message(&loop, taken, &message));
        CHECK_INT(message.length, size);
        CHECK(message.data[0] == 'a' + i % 26 && message.data[size - 1] == 'a' + i % 26);
        release(&message);
    }
    CHECK(now_ms() - start >= least);
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, taken).close_code, 1000);
    free(data);
    close(fd);
    cmws_options_clear(options);
}

TEST(S30_messages_over_max_message_rate_wait_and_none_is_lost)
{
    cmws_options_t options = option("max_message_rate", 50);
    check_rate(&options, 150, 20, 1990);
}

TEST(S30_bytes_over_max_byte_rate_wait_and_none_is_lost)
{
    cmws_options_t options = option("max_byte_rate", 1 << 18);
    check_rate(&options, 40, 15000, 1000 * (40 * 15000 - (1 << 18)) / (1 << 18) - 100);
}

TEST(S30_a_large_message_over_max_byte_rate_is_made_up_for)
{
    cmws_options_t options = option("max_byte_rate", 1 << 18);
    check_rate(&options, 3, 200000, 500);
}

TEST(S30_a_peer_over_its_rate_keeps_nobody_else_waiting)
{
    struct loop loop;
    cmws_options_t options = option("max_message_rate", 1);
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, &options);
    int loud = raw_open(listener_port(listener));
    cmws_handle_t of_loud = loop_accept(&loop, listener);
    for (int i = 0; i < 1000; i++)
        raw_send(loud, OP_TEXT, true, "x", 1);
    for (int i = 0; i < 5; i++) {
        int quiet = raw_open(listener_port(listener));
        cmws_handle_t of_quiet = loop_accept(&loop, listener);
        raw_send(quiet, OP_TEXT, true, "hello", 5);
        CHECK_RECEIVES(&loop, of_quiet, "hello");
        close(quiet);
    }
    CHECK(info_of(of_loud).messages_received <= 10);
    /* It can be closed while it is held up: what it sent meanwhile is read over. */
    CHECK_OK(cmws_connection_close(of_loud, 1000, NULL, 0));
    raw_send_close(loud, true, 1000, "");
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, of_loud).status, CMWS_STATUS_OK);
    close(loud);
    cmws_options_clear(&options);
}

TEST(S28_a_peer_that_answers_pings_lives_while_its_rate_holds_it_up)
{
    struct loop loop;
    struct frame *frame = calloc(1, sizeof *frame);
    cmws_options_t options = option("max_message_rate", 2);
    CHECK_OK(cmws_options_set(&options, "ping_interval", 13, 0.1));
    CHECK_OK(cmws_options_set(&options, "ping_timeout", 12, 0.3));
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, &options);
    int fd = raw_open(listener_port(listener));
    cmws_handle_t taken = loop_accept(&loop, listener);
    for (int i = 0; i < 6; i++)
        raw_send(fd, OP_TEXT, true, "x", 1);
    for (int received = 0; received < 6;) {
        cmws_message_t message;
        size_t count;
        loop_poll(&loop, 20);
        CHECK_OK(cmws_connection_receive(taken, &message, sizeof message, 1, &count));
        if (count) {
            received++;
            release(&message);
        }
        char byte;
        while (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
            CHECK(raw_read(fd, frame));
            CHECK_INT(frame->opcode, OP_PING);
            raw_send(fd, OP_PONG, true, frame->payload, frame->length);
        }
    }
    CHECK_INT(info_of(taken).state, CMWS_STATE_OPEN);
    free(frame);
    close(fd);
    cmws_options_clear(&options);
}

TEST(S25_max_lifetime_ends_a_connection_with_1001)
{
    struct loop loop;
    struct frame *frame = calloc(1, sizeof *frame);
    cmws_options_t options = option("max_lifetime", 0.3);
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, &options);
    int64_t start = now_ms();
    int fd = raw_open(listener_port(listener));
    cmws_handle_t taken = loop_accept(&loop, listener);
    CHECK_OK(send_text(taken, "before"));
    CHECK(raw_read(fd, frame));
    CHECK_INT(frame->opcode, OP_TEXT);
    CHECK(raw_read(fd, frame));
    CHECK(now_ms() - start >= 299);
    CHECK_INT(frame->opcode, OP_CLOSE);
    CHECK_INT(frame->code, 1001);
    raw_send(fd, OP_TEXT, true, "last", 4);
    raw_send_close(fd, true, 1001, "");
    CHECK_RECEIVES(&loop, taken, "last");
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, taken).close_code, 1001);
    CHECK_INT(info_of(taken).closed_by, CMWS_CLOSED_BY_US);
    free(frame);
    close(fd);
    cmws_options_clear(&options);
}
