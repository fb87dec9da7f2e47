/* Clients' connections that are made again when they are lost. */
#include "support.h"
#include "raw.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static cmws_options_t reconnecting(double buffer)
{
    cmws_options_t options = options_default();
    CHECK_OK(cmws_options_set(&options, "reconnect", 9, 1));
    CHECK_OK(cmws_options_set(&options, "reconnect_delay", 15, 0.02));
    CHECK_OK(cmws_options_set(&options, "reconnect_max_delay", 19, 0.1));
    CHECK_OK(cmws_options_set(&options, "reconnect_buffer", 16, buffer));
    return options;
}

/* A client of a peer that speaks by hand. */
struct client {
    struct loop loop;
    cmws_handle_t handle;
    uint16_t port;
    int listener, fd;
};

static void client_open(struct client *client, double buffer)
{
    cmws_options_t options = reconnecting(buffer);
    loop_open(&client->loop);
    client->listener = raw_listen(&client->port);
    client->handle = loop_connect(&client->loop, client->port, &options);
    client->fd = raw_serve(client->listener);
    loop_wait(&client->loop, CMWS_EVENT_OPEN, client->handle);
    cmws_options_clear(&options);
}

static void come_back(struct client *client)
{
    client->fd = raw_serve(client->listener);
    loop_wait(&client->loop, CMWS_EVENT_OPEN, client->handle);
    CHECK_INT(info_of(client->handle).state, CMWS_STATE_OPEN);
}

static void check_reads(int fd, const char *text)
{
    struct frame *frame = calloc(1, sizeof *frame);
    CHECK(raw_read(fd, frame));
    CHECK_INT(frame->opcode, OP_TEXT);
    CHECK_INT(frame->length, strlen(text));
    CHECK(memcmp(frame->payload, text, frame->length) == 0);
    free(frame);
}

TEST(S36_a_connection_that_is_lost_comes_back_under_its_handle)
{
    struct client client;
    client_open(&client, 0);
    for (int i = 0; i < 5; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        raw_send(client.fd, OP_TEXT, false, text, strlen(text));
        raw_send(client.fd, OP_TEXT, false, "more", 4);
        CHECK_RECEIVES(&client.loop, client.handle, text);
        if (i % 2)
            raw_reset(client.fd);
        else
            close(client.fd);
        struct seen lost = loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
        CHECK_INT(lost.status, CMWS_STATUS_TCP);
        CHECK_INT(lost.close_code, 1006);
        CHECK(strlen(lost.text) > 0);
        come_back(&client);
        /* What came before it was lost and nobody has taken is still there. */
        if (i % 2 == 0)
            CHECK_RECEIVES(&client.loop, client.handle, "more");
        else
            loop_run(&client.loop, 10);
        CHECK_OK(send_text(client.handle, text));
        check_reads(client.fd, text);
        cmws_message_t message;
        size_t count;
        while (cmws_connection_receive(client.handle, &message, sizeof message, 1, &count) == 0 && count)
            release(&message);
    }
    CHECK_INT(info_of(client.handle).messages_sent, 5);
    CHECK_OK(cmws_connection_close(client.handle, 1000, NULL, 0));
    raw_send_close(client.fd, false, 1000, "");
    CHECK_INT(loop_wait(&client.loop, CMWS_EVENT_CLOSED, client.handle).close_code, 1000);
}

TEST(S36_giving_up_a_message_of_a_connection_that_is_lost_does_not_end_it)
{
    static uint8_t part[64 * 1024];
    struct client client;
    uint64_t message;
    client_open(&client, 0);
    CHECK_OK(cmws_connection_begin(client.handle, CMWS_MESSAGE_BINARY, 0, &message));
    /* Nothing of it is read, so that our answer to the close frame does not leave either. */
    while (cmws_connection_write(client.handle, message, part, sizeof part, 0) == CMWS_STATUS_OK)
        ;
    raw_send_close(client.fd, false, 1012, "");
    while (info_of(client.handle).state != CMWS_STATE_CLOSING)
        sleep_ms(1);
    CHECK_STATUS(cmws_connection_write(client.handle, message, part, 1, 0), CMWS_STATUS_CLOSED);
    cmws_connection_abandon(client.handle, message);
    raw_reset(client.fd);
    loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
    come_back(&client);
    CHECK_OK(send_text(client.handle, "back"));
    check_reads(client.fd, "back");
}

TEST(S29_a_connection_that_comes_back_reads_no_more_than_before)
{
    enum { PART = 4096 };
    /* A message that fills the inbox, and a close frame with 1012 that comes along with it. */
    static unsigned char both[4 + PART + 4] = {0x80 | OP_TEXT, 126, PART >> 8, PART & 0xff};
    struct client client;
    cmws_options_t options = reconnecting(0);
    options.read_limit = PART;
    memset(both + 4, 'x', PART);
    memcpy(both + 4 + PART, (const unsigned char[]){0x80 | OP_CLOSE, 2, 1012 >> 8, 1012 & 0xff}, 4);
    loop_open(&client.loop);
    client.listener = raw_listen(&client.port);
    client.handle = loop_connect(&client.loop, client.port, &options);
    client.fd = raw_serve(client.listener);
    loop_wait(&client.loop, CMWS_EVENT_OPEN, client.handle);
    raw_write(client.fd, both, sizeof both);
    loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
    close(client.fd);
    come_back(&client);
    raw_send(client.fd, OP_TEXT, false, "later", 5);
    loop_run(&client.loop, 50);
    CHECK_INT(info_of(client.handle).messages_received, 1);
    cmws_message_t message;
    CHECK(next_message(&client.loop, client.handle, &message));
    CHECK_INT(message.length, PART);
    release(&message);
    CHECK_RECEIVES(&client.loop, client.handle, "later");
    cmws_options_clear(&options);
}

TEST(S36_attempts_go_on_until_one_succeeds)
{
    struct client client;
    cmws_counters_t counters;
    client_open(&client, 0);
    close(client.listener);
    close(client.fd);
    for (int i = 0; i < 4; i++) {
        struct seen lost = loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
        CHECK_INT(lost.status, CMWS_STATUS_TCP);
        if (i > 0)
            CHECK_SAYS(lost.text, "connection refused");
        CHECK_INT(info_of(client.handle).state, CMWS_STATE_CONNECTING);
    }
    CHECK_OK(cmws_process_counters(sizeof counters, &counters));
    CHECK_INT(counters.connections, 0);
    CHECK_INT(counters.opened, 1);
    CHECK(counters.failed >= 3);
    /* Somebody listens there again. */
    cmws_handle_t listener;
    CHECK_OK(cmws_mailbox_listen(client.loop.mailbox, "127.0.0.1", 9, client.port, NULL, &listener));
    loop_wait(&client.loop, CMWS_EVENT_OPEN, client.handle);
    cmws_handle_t server = loop_accept(&client.loop, listener);
    CHECK_OK(send_text(client.handle, "back"));
    CHECK_RECEIVES(&client.loop, server, "back");
}

TEST(S36_sends_while_it_is_away_are_refused)
{
    struct client client;
    client_open(&client, 0);
    close(client.fd);
    loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
    CHECK_STATUS(send_text(client.handle, "lost"), CMWS_STATUS_AWAY);
    CHECK_STATUS(cmws_connection_ping(client.handle), CMWS_STATUS_AWAY);
    CHECK_TEXT(cmws_status_text(CMWS_STATUS_AWAY), "away");
    come_back(&client);
    CHECK_OK(send_text(client.handle, "sent"));
    check_reads(client.fd, "sent");
}

TEST(S36_sends_while_it_is_away_are_kept_up_to_a_limit)
{
    struct client client;
    char text[32];
    client_open(&client, 10 * (64 + 9));
    close(client.fd);
    loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
    for (int i = 0; i < 10; i++) {
        snprintf(text, sizeof text, "message %d", i);
        CHECK_OK(send_text(client.handle, text));
    }
    CHECK_STATUS(cmws_connection_send(client.handle, CMWS_MESSAGE_TEXT, (uint8_t *)"x", 1, CMWS_SEND_NOTIFY),
                 CMWS_STATUS_WOULD_BLOCK);
    /* They wait through another loss. */
    close(raw_accept(client.listener));
    loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
    CHECK_STATUS(send_text(client.handle, "x"), CMWS_STATUS_WOULD_BLOCK);
    come_back(&client);
    loop_wait(&client.loop, CMWS_EVENT_WRITABLE, client.handle);
    CHECK_OK(send_text(client.handle, "message 10"));
    for (int i = 0; i < 11; i++) {
        snprintf(text, sizeof text, "message %d", i);
        check_reads(client.fd, text);
    }
    CHECK_INT(info_of(client.handle).messages_sent, 11);
}

static void check_end(unsigned code, bool comes_back)
{
    struct client client;
    client_open(&client, 0);
    raw_send_close(client.fd, false, code, "why");
    if (comes_back) {
        struct seen lost = loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
        CHECK_INT(lost.status, CMWS_STATUS_OK);
        CHECK_INT(lost.close_code, code);
        CHECK_TEXT(lost.text, "why");
        close(client.fd);
        come_back(&client);
    } else {
        CHECK_INT(loop_wait(&client.loop, CMWS_EVENT_CLOSED, client.handle).close_code, code);
        CHECK(!loop_take(&client.loop, CMWS_EVENT_LOST, client.handle, NULL));
    }
    CHECK_OK(cmws_mailbox_close(client.loop.mailbox));
    close(client.fd);
    close(client.listener);
}

TEST(S36_close_codes_that_pass_are_tried_again_and_others_are_not)
{
    static const unsigned pass[] = {1001, 1011, 1012, 1013, 1014};
    static const unsigned final[] = {1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 4000};
    for (size_t i = 0; i < sizeof pass / sizeof *pass; i++)
        check_end(pass[i], true);
    for (size_t i = 0; i < sizeof final / sizeof *final; i++)
        check_end(final[i], false);
}

TEST(S36_a_peer_that_breaks_the_protocol_is_not_tried_again)
{
    struct client client;
    client_open(&client, 0);
    raw_send(client.fd, 3, false, "", 0);
    CHECK_INT(loop_wait(&client.loop, CMWS_EVENT_CLOSED, client.handle).status, CMWS_STATUS_PROTOCOL);
}

static void check_answer(const char *answer, bool comes_back)
{
    struct client client;
    char head[4096];
    client_open(&client, 0);
    close(client.fd);
    client.fd = raw_accept(client.listener);
    raw_read_head(client.fd, head, sizeof head);
    raw_write(client.fd, answer, strlen(answer));
    loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
    if (comes_back) {
        CHECK_INT(loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle).status, CMWS_STATUS_HTTP);
        come_back(&client);
    } else {
        CHECK_INT(loop_wait(&client.loop, CMWS_EVENT_CLOSED, client.handle).status, CMWS_STATUS_HTTP);
    }
    CHECK_OK(cmws_mailbox_close(client.loop.mailbox));
}

TEST(S36_http_answers_that_pass_are_tried_again_and_others_are_not)
{
    check_answer("HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", true);
    check_answer("HTTP/1.1 429 Often\r\nContent-Length: 0\r\n\r\n", true);
    check_answer("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", false);
    check_answer("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", false);
}

TEST(S36_a_first_connect_that_fails_is_not_tried_again)
{
    struct loop loop;
    cmws_options_t options = reconnecting(0);
    uint16_t port;
    loop_open(&loop);
    close(raw_listen(&port));
    cmws_handle_t handle = loop_connect(&loop, port, &options);
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, handle).status, CMWS_STATUS_TCP);
    cmws_options_clear(&options);
}

TEST(S36_a_close_while_it_is_away_ends_it)
{
    struct client client;
    client_open(&client, 1000);
    close(client.listener);
    close(client.fd);
    loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
    CHECK_OK(cmws_connection_close(client.handle, 1000, NULL, 0));
    loop_wait(&client.loop, CMWS_EVENT_CLOSED, client.handle);
    CHECK_STATUS(send_text(client.handle, "x"), CMWS_STATUS_CLOSED);
    CHECK_STATUS(cmws_connection_close(client.handle, 1000, NULL, 0), CMWS_STATUS_CLOSED);
    loop_run(&client.loop, 300);
    CHECK(!loop_take(&client.loop, CMWS_EVENT_LOST, client.handle, NULL));
}

TEST(S36_after_our_own_close_it_does_not_come_back)
{
    struct client client;
    client_open(&client, 1000);
    CHECK_OK(cmws_connection_close(client.handle, 1001, NULL, 0));
    close(client.fd); /* without an answer */
    loop_wait(&client.loop, CMWS_EVENT_CLOSED, client.handle);
}

TEST(S36_a_handle_that_is_freed_while_it_is_away_is_stale)
{
    struct client client;
    client_open(&client, 1000);
    close(client.listener);
    close(client.fd);
    loop_wait(&client.loop, CMWS_EVENT_LOST, client.handle);
    cmws_connection_free(client.handle);
    CHECK_STATUS(send_text(client.handle, "x"), CMWS_STATUS_INVALID_HANDLE);
    int before = count_descriptors();
    loop_run(&client.loop, 300);
    CHECK_INT(client.loop.count, 0);
    CHECK(count_descriptors() <= before);
}

TEST(S36_a_connection_whose_peer_is_dead_is_made_again)
{
    struct loop loop;
    uint16_t port;
    cmws_options_t options = reconnecting(0);
    CHECK_OK(cmws_options_set(&options, "ping_interval", 13, 0.05));
    CHECK_OK(cmws_options_set(&options, "ping_timeout", 12, 0.1));
    loop_open(&loop);
    int listener = raw_listen(&port);
    cmws_handle_t handle = loop_connect(&loop, port, &options);
    int silent = raw_serve(listener);
    loop_wait(&loop, CMWS_EVENT_OPEN, handle);
    CHECK_INT(loop_wait(&loop, CMWS_EVENT_LOST, handle).status, CMWS_STATUS_TIMEOUT);
    int next = raw_serve(listener);
    loop_wait(&loop, CMWS_EVENT_OPEN, handle);
    close(silent);
    close(next);
    cmws_options_clear(&options);
}

/* Each message is accepted or would block, and what arrives is in order. */
TEST(S36_sends_while_it_comes_and_goes)
{
    struct client client;
    long last = -1, sent = 0, received = 0;
    client_open(&client, 1 << 20);
    pid_t peer = fork();
    if (peer == 0) {
        /* Reads some of what comes, then ends the connection: twenty times. */
        char byte[4096];
        for (int i = 0; i < 20; i++) {
            for (int got = 0; got < 20000;) {
                ssize_t n = recv(client.fd, byte, sizeof byte, 0);
                if (n <= 0)
                    break;
                got += (int)n;
            }
            if (i % 2)
                raw_reset(client.fd);
            else
                close(client.fd);
            client.fd = raw_serve(client.listener);
        }
        struct frame *frame = calloc(1, sizeof *frame);
        while (raw_read(client.fd, frame)) {
            if (frame->opcode != OP_TEXT)
                continue;
            frame->payload[frame->length] = 0;
            long number = atol(frame->payload);
            if (number <= last)
                _exit(1);
            last = number;
            received++;
            if (number == 1000000)
                _exit(received > 1 ? 0 : 2);
        }
        _exit(3);
    }
    close(client.fd);
    close(client.listener);
    int opened = 0;
    for (int64_t end = now_ms() + PATIENCE; opened < 20;) {
        char text[32];
        CHECK(now_ms() < end);
        snprintf(text, sizeof text, "%ld and so on", sent);
        cmws_status_t status = send_text(client.handle, text);
        CHECK(status == CMWS_STATUS_OK || status == CMWS_STATUS_WOULD_BLOCK);
        sent += status == CMWS_STATUS_OK;
        loop_poll(&client.loop, status ? 5 : 0);
        while (loop_take(&client.loop, CMWS_EVENT_OPEN, client.handle, NULL))
            opened++;
        while (loop_take(&client.loop, CMWS_EVENT_LOST, client.handle, NULL))
            continue;
    }
    while (send_text(client.handle, "1000000") == CMWS_STATUS_WOULD_BLOCK)
        loop_poll(&client.loop, 5);
    int ended;
    CHECK(waitpid(peer, &ended, 0) == peer);
    CHECK_INT(ended, 0);
}
