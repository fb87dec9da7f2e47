/* Closing: codes and reasons both ways, nothing lost, and always an end. */
#include "support.h"
#include "raw.h"

#include <sys/socket.h>
#include <unistd.h>

TEST(S22_messages_before_the_end_come_first)
{
    struct pair pair;
    cmws_message_t message;
    size_t count;
    pair_open(&pair, NULL, NULL);
    for (int i = 0; i < 100; i++)
        CHECK_OK(send_text(pair.client, "before the end"));
    CHECK_OK(cmws_connection_close(pair.client, 1000, NULL, 0));
    loop_wait(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server);
    for (int i = 0; i < 100; i++)
        CHECK_RECEIVES(&pair.server_loop, pair.server, "before the end");
    CHECK_STATUS(cmws_connection_receive(pair.server, &message, sizeof message, 1, &count),
                 CMWS_STATUS_CLOSED);
    loop_run(&pair.server_loop, 100);
    CHECK(!loop_take(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server, NULL));
}

TEST(S23_code_and_reason_from_the_client)
{
    struct pair pair;
    struct seen closed;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(cmws_connection_close(pair.client, 4321, "gr\xc3\xbc\xc3\x9f", 6));
    closed = loop_wait(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server);
    CHECK_INT(closed.close_code, 4321);
    CHECK_INT(closed.status, CMWS_STATUS_OK);
    CHECK_TEXT(closed.text, "gr\xc3\xbc\xc3\x9f");
    closed = loop_wait(&pair.client_loop, CMWS_EVENT_CLOSED, pair.client);
    CHECK_INT(closed.close_code, 4321);
    CHECK_INT(closed.status, CMWS_STATUS_OK);
    CHECK_INT(info_of(pair.server).close_code, 4321);
    CHECK_INT(info_of(pair.server).close_reason_length, 6);
    CHECK_INT(info_of(pair.server).state, CMWS_STATE_CLOSED);
}

TEST(S23_code_and_reason_from_the_server)
{
    struct pair pair;
    struct seen closed;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(cmws_connection_close(pair.server, 3000, "full", 4));
    closed = loop_wait(&pair.client_loop, CMWS_EVENT_CLOSED, pair.client);
    CHECK_INT(closed.close_code, 3000);
    CHECK_TEXT(closed.text, "full");
    closed = loop_wait(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server);
    CHECK_INT(closed.close_code, 3000);
}

/* A listener's connection and the raw client at its other end. */
static cmws_handle_t open_raw(struct loop *loop, const cmws_options_t *options, int *out_fd)
{
    cmws_handle_t listener;
    loop_open(loop);
    listener = loop_listen(loop, options);
    *out_fd = raw_open(listener_port(listener));
    return loop_accept(loop, listener);
}

TEST(S23_the_first_close_frame_counts)
{
    struct loop loop;
    struct frame frame;
    struct seen closed;
    int fd;
    cmws_handle_t server = open_raw(&loop, NULL, &fd);
    CHECK_OK(cmws_connection_close(server, 1000, "mine", 4));
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.code, 1000);
    raw_send_close(fd, true, 4000, "yours");
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, server);
    CHECK_INT(closed.close_code, 1000);
    CHECK_TEXT(closed.text, "mine");
}

TEST(S23_1005_for_a_close_frame_without_a_code)
{
    struct loop loop;
    struct frame frame;
    int fd;
    cmws_handle_t server = open_raw(&loop, NULL, &fd);
    raw_send(fd, OP_CLOSE, true, "", 0);
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_CLOSE);
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, server).close_code, 1005);
}

TEST(S23_1006_when_the_peer_just_leaves)
{
    for (int with_reset = 0; with_reset < 2; with_reset++) {
        struct loop loop;
        struct seen closed;
        int fd;
        cmws_handle_t server = open_raw(&loop, NULL, &fd);
        raw_send(fd, OP_TEXT, true, "last", 4);
        CHECK_RECEIVES(&loop, server, "last");
        if (with_reset)
            raw_reset(fd);
        else
            close(fd);
        closed = loop_wait(&loop, CMWS_EVENT_CLOSED, server);
        CHECK_INT(closed.close_code, 1006);
        CHECK(closed.status != CMWS_STATUS_OK);
        CHECK_INT(info_of(server).close_code, 1006);
    }
}

TEST(S24_calls_on_an_ended_connection)
{
    struct pair pair;
    cmws_message_t message;
    size_t count;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(cmws_connection_close(pair.client, 0, NULL, 0));
    CHECK_STATUS(send_text(pair.client, "too late"), CMWS_STATUS_CLOSED);
    CHECK_STATUS(cmws_connection_close(pair.client, 1000, NULL, 0), CMWS_STATUS_CLOSED);
    loop_wait(&pair.client_loop, CMWS_EVENT_CLOSED, pair.client);
    loop_wait(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS(send_text(pair.server, "too late"), CMWS_STATUS_CLOSED);
        CHECK_STATUS(cmws_connection_send(pair.client, CMWS_MESSAGE_BINARY, NULL, 0,
                                          CMWS_SEND_NOTIFY),
                     CMWS_STATUS_CLOSED);
        CHECK_STATUS(cmws_connection_close(pair.server, 1000, NULL, 0), CMWS_STATUS_CLOSED);
        CHECK_STATUS(cmws_connection_receive(pair.server, &message, sizeof message, 1, &count),
                     CMWS_STATUS_CLOSED);
    }
    CHECK_INT(info_of(pair.server).close_code, 1000);
}

TEST(S24_no_send_after_the_peers_close_frame)
{
    struct loop loop;
    struct frame frame;
    int fd;
    cmws_handle_t server = open_raw(&loop, NULL, &fd);
    raw_send_close(fd, true, 1000, "");
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_CLOSE);
    CHECK_INT(frame.code, 1000);
    CHECK_STATUS(send_text(server, "too late"), CMWS_STATUS_CLOSED);
    CHECK(!raw_read(fd, &frame));
}

TEST(S25_everything_accepted_leaves_before_the_close_frame)
{
    struct loop loop;
    static struct frame frame;
    static uint8_t data[4000];
    int fd, sent = 0;
    cmws_handle_t server = open_raw(&loop, NULL, &fd);
    /* Until there is no room: the kernel's buffers are full, and ours. */
    while (cmws_connection_send(server, CMWS_MESSAGE_BINARY, data, sizeof data, 0) ==
           CMWS_STATUS_OK)
        sent++;
    CHECK_OK(cmws_connection_close(server, 1000, "done", 4));
    for (int i = 0; i < sent; i++) {
        CHECK(raw_read(fd, &frame));
        CHECK_INT(frame.opcode, OP_BINARY);
    }
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_CLOSE);
    CHECK_INT(frame.code, 1000);
    CHECK_TEXT(frame.payload + 2, "done");
    raw_send_close(fd, true, 1000, "");
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, server).status, CMWS_STATUS_OK);
}

TEST(S25_messages_between_our_close_frame_and_theirs_are_delivered)
{
    struct loop loop;
    struct frame frame;
    int fd;
    cmws_handle_t server = open_raw(&loop, NULL, &fd);
    CHECK_OK(cmws_connection_close(server, 1000, NULL, 0));
    CHECK(raw_read(fd, &frame));
    raw_send(fd, OP_TEXT, true, "on its way", 10);
    raw_send_close(fd, true, 1000, "");
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, server).status, CMWS_STATUS_OK);
    CHECK_RECEIVES(&loop, server, "on its way");
}

TEST(S25_a_full_inbox_does_not_hide_the_peers_close_frame)
{
    struct loop loop;
    struct frame frame;
    static char data[10000];
    int fd;
    cmws_options_t options = options_default();
    cmws_handle_t server;
    options.read_limit = 20000;
    server = open_raw(&loop, &options, &fd);
    CHECK_OK(cmws_connection_close(server, 1000, NULL, 0));
    CHECK(raw_read(fd, &frame));
    for (int i = 0; i < 50; i++)
        raw_send(fd, OP_BINARY, true, data, sizeof data);
    raw_send_close(fd, true, 1000, "");
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, server).status, CMWS_STATUS_OK);
}

/* Room that the guest makes afterwards is not for what comes behind a message that was dropped. */
TEST(S25_what_is_dropped_while_closing_leaves_no_gap)
{
    struct loop loop;
    char text[100];
    int fd, last = -1;
    cmws_options_t options = options_default();
    cmws_message_t message;
    cmws_handle_t server;
    options.read_limit = 1000;
    server = open_raw(&loop, &options, &fd);
    CHECK_OK(cmws_connection_close(server, 1000, NULL, 0));
    for (int i = 0; i < 40; i++) {
        if (i == 20) {
            sleep_ms(300);
            for (int taken = 0; taken < 3; taken++) {
                CHECK(next_message(&loop, server, &message));
                CHECK_INT(atoi((const char *)message.data), ++last);
                release(&message);
            }
        }
        snprintf(text, sizeof text, "%-99d", i);
        raw_send(fd, OP_TEXT, true, text, 99);
    }
    raw_send_close(fd, true, 1000, "");
    while (next_message(&loop, server, &message)) {
        CHECK_INT(atoi((const char *)message.data), ++last);
        release(&message);
    }
    CHECK(last >= 5 && last < 20);
}

TEST(S25_close_timeout_when_the_peer_never_answers)
{
    struct loop loop;
    int fd;
    int64_t start;
    cmws_options_t options = options_default();
    cmws_handle_t server;
    options.close_timeout_ms = 300;
    server = open_raw(&loop, &options, &fd);
    start = now_ms();
    CHECK_OK(cmws_connection_close(server, 1000, "bye", 3));
    loop_wait(&loop, CMWS_EVENT_CLOSED, server);
    CHECK(now_ms() - start >= 290);
    CHECK(now_ms() - start < 8000);
    CHECK_INT(info_of(server).close_code, 1000);
}

TEST(S25_close_timeout_when_the_peer_never_reads)
{
    struct loop loop;
    static uint8_t data[4000];
    int fd;
    int64_t start;
    cmws_options_t options = options_default();
    cmws_handle_t server;
    options.close_timeout_ms = 300;
    server = open_raw(&loop, &options, &fd);
    while (cmws_connection_send(server, CMWS_MESSAGE_BINARY, data, sizeof data, 0) ==
           CMWS_STATUS_OK)
        ;
    start = now_ms();
    CHECK_OK(cmws_connection_close(server, 1000, NULL, 0));
    loop_wait(&loop, CMWS_EVENT_CLOSED, server);
    CHECK(now_ms() - start < 8000);
}

TEST(S25_codes_and_reasons_that_may_not_be_sent)
{
    static const uint16_t bad[] = {1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2000, 2999, 5000, 65535};
    static const uint16_t good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                    1011, 1012, 1013, 3000, 3999, 4000, 4999};
    struct pair pair;
    char reason[125];
    memset(reason, 'r', sizeof reason);
    pair_open(&pair, NULL, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_STATUS(cmws_connection_close(pair.client, bad[i], NULL, 0),
                     CMWS_STATUS_INVALID_CLOSE);
    CHECK_STATUS(cmws_connection_close(pair.client, 1000, reason, 124),
                 CMWS_STATUS_INVALID_CLOSE);
    CHECK_STATUS(cmws_connection_close(pair.client, 1000, "\xff", 1), CMWS_STATUS_INVALID_CLOSE);
    CHECK_OK(send_text(pair.client, "still open"));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "still open");
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct pair one;
        pair_open(&one, NULL, NULL);
        CHECK_OK(cmws_connection_close(one.client, good[i], reason, 123));
        CHECK_INT(loop_wait(&one.server_loop, CMWS_EVENT_CLOSED, one.server).close_code, good[i]);
        cmws_mailbox_close(one.client_loop.mailbox);
        cmws_mailbox_close(one.server_loop.mailbox);
    }
}

TEST(S25_no_reset_destroys_what_was_accepted)
{
    /* The peer has sent data that nobody reads any more: closing the socket then would reset it,
     * and the peer would lose what it has not read yet. */
    struct loop loop;
    static struct frame frame;
    static uint8_t data[4000];
    static char noise[1000];
    int fd;
    cmws_handle_t server = open_raw(&loop, NULL, &fd);
    for (int i = 0; i < 10; i++)
        CHECK_OK(cmws_connection_send(server, CMWS_MESSAGE_BINARY, data, sizeof data, 0));
    CHECK_OK(cmws_connection_close(server, 1000, NULL, 0));
    for (int i = 0; i < 50; i++)
        raw_send(fd, OP_BINARY, true, noise, sizeof noise);
    raw_send_close(fd, true, 1000, "");
    for (int i = 0; i < 50; i++)
        raw_send(fd, OP_BINARY, true, noise, sizeof noise); /* against the rules, after the close */
    sleep_ms(200);
    for (int i = 0; i < 10; i++) {
        CHECK(raw_read(fd, &frame));
        CHECK_INT(frame.length, sizeof data);
    }
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_CLOSE);
}

TEST(S25_freeing_sends_what_was_accepted_and_1001)
{
    struct loop loop;
    struct frame frame;
    int fd;
    cmws_handle_t server = open_raw(&loop, NULL, &fd);
    CHECK_OK(send_text(server, "last words"));
    cmws_connection_free(server);
    CHECK(raw_read(fd, &frame));
    CHECK_TEXT(frame.payload, "last words");
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_CLOSE);
    CHECK_INT(frame.code, 1001);
}

TEST(S26_each_violation_is_told_with_its_code)
{
    static const struct {
        const char *bytes;
        size_t length;
        unsigned code;
        cmws_status_t status;
    } violations[] = {
        {"\x81\x01x", 3, 1002, CMWS_STATUS_PROTOCOL},             /* not masked */
        {"\x83\x80\0\0\0\0", 6, 1002, CMWS_STATUS_PROTOCOL},      /* an opcode that is none */
        {"\xc1\x80\0\0\0\0", 6, 1002, CMWS_STATUS_PROTOCOL},      /* compressed, not agreed on */
        {"\x80\x80\0\0\0\0", 6, 1002, CMWS_STATUS_PROTOCOL},      /* a continuation of nothing */
        {"\x09\x80\0\0\0\0", 6, 1002, CMWS_STATUS_PROTOCOL},      /* a ping in fragments */
        {"\x88\x81\0\0\0\0x", 7, 1002, CMWS_STATUS_PROTOCOL},     /* half a close code */
        {"\x81\x81\0\0\0\0\xff", 7, 1007, CMWS_STATUS_PROTOCOL},  /* text that is not UTF-8 */
        {"\x01\x81\0\0\0\0\xff", 7, 1007, CMWS_STATUS_PROTOCOL},  /* ... before its last fragment */
        {"\x82\xfe\x03\xe9\0\0\0\0", 8, 1009, CMWS_STATUS_TOO_BIG}, /* 1001 bytes, declared */
        {"\x02\x81\0\0\0\0x", 7, 1008, CMWS_STATUS_TIMEOUT},      /* never complete */
    };
    for (size_t i = 0; i < sizeof violations / sizeof violations[0]; i++) {
        struct loop loop;
        struct frame frame;
        struct seen closed;
        int fd, other_fd;
        cmws_handle_t listener, server, other;
        cmws_options_t options = options_default();
        options.max_message_size = 1000;
        if (violations[i].code == 1008)
            CHECK_OK(cmws_options_set(&options, "message_timeout", 15, 0.2));
        loop_open(&loop);
        listener = loop_listen(&loop, &options);
        other_fd = raw_open(listener_port(listener));
        other = loop_accept(&loop, listener);
        fd = raw_open(listener_port(listener));
        server = loop_accept(&loop, listener);
        raw_write(fd, violations[i].bytes, violations[i].length);
        CHECK(raw_read(fd, &frame));
        CHECK_INT(frame.opcode, OP_CLOSE);
        CHECK_INT(frame.code, violations[i].code);
        raw_send_close(fd, true, violations[i].code, "");
        closed = loop_wait(&loop, CMWS_EVENT_CLOSED, server);
        CHECK_INT(closed.close_code, violations[i].code);
        CHECK_STATUS(closed.status, violations[i].status);
        /* Only that connection ends. */
        raw_send(other_fd, OP_TEXT, true, "unharmed", 8);
        CHECK_RECEIVES(&loop, other, "unharmed");
        close(fd);
        close(other_fd);
        cmws_options_clear(&options);
    }
}
