/* What has to wait is not forgotten, and costs nothing when it has gone. */
#include "raw.h"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct loop loop;

TEST(S28_a_pong_that_had_to_wait_leaves_when_there_is_room)
{
    static uint8_t data[16 << 20];
    static struct frame frame;
    uint8_t header[10];
    size_t left = sizeof data;
    cmws_handle_t listener, server;
    int fd;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    fd = raw_open(listener_port(listener));
    server = loop_accept(&loop, listener);
    /* More than the system takes: the rest is over write_limit, and the pong has to wait. */
    CHECK_OK(cmws_connection_send(server, CMWS_MESSAGE_BINARY, data, sizeof data, 0));
    CHECK_STATUS(send_text(server, "no"), CMWS_STATUS_WOULD_BLOCK);
    raw_send(fd, OP_PING, true, "hello", 5);
    sleep_ms(200);
    CHECK_INT(recv(fd, header, sizeof header, MSG_WAITALL), sizeof header);
    while (left > 0) {
        ssize_t got = recv(fd, data, left, 0);
        CHECK(got > 0);
        left -= (size_t)got;
    }
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_PONG);
    CHECK_TEXT(frame.payload, "hello");
}

TEST(S28_every_ping_of_a_burst_has_its_pong_before_what_ended_later_is_answered)
{
    /* One write: ten pings between the two halves of "ab", all masked with zeros. */
    enum { PINGS = 10, PING = 7 };
    static struct frame frame;
    uint8_t burst[PINGS * PING + 14];
    size_t length = 0;
    cmws_handle_t listener, server;
    int fd;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    fd = raw_open(listener_port(listener));
    server = loop_accept(&loop, listener);
    memcpy(burst, "\x01\x81\0\0\0\0a", 7);
    length = 7;
    for (int i = 0; i < PINGS; i++, length += PING) {
        memcpy(burst + length, "\x89\x81\0\0\0\0?", PING);
        burst[length + 6] = (uint8_t)('0' + i);
    }
    memcpy(burst + length, "\x80\x81\0\0\0\0b", 7);
    raw_write(fd, burst, sizeof burst);
    CHECK_RECEIVES(&loop, server, "ab");
    CHECK_OK(send_text(server, "answer"));
    for (int i = 0; i < PINGS; i++) {
        CHECK(raw_read(fd, &frame));
        CHECK_INT(frame.opcode, OP_PONG);
        CHECK_INT(frame.payload[0], '0' + i);
    }
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_TEXT);
}

static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                              "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

TEST(S11_the_128th_client_is_answered_too)
{
    enum { CLIENTS = 128 };
    static char head[4096];
    int sockets[CLIENTS];
    cmws_handle_t listener;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        sockets[i] = raw_connect(listener_port(listener));
        raw_write(sockets[i], request, strlen(request));
    }
    for (int i = 0; i < CLIENTS; i++)
        raw_read_head(sockets[i], head, sizeof head);
}

TEST(S11_clients_that_go_away_before_their_turn_leave_nothing)
{
    enum { CLIENTS = 300 };
    int sockets[CLIENTS], before;
    int64_t end = now_ms() + PATIENCE;
    cmws_handle_t listener;
    cmws_options_t options = options_default();
    options.open_timeout_ms = 500;
    loop_open(&loop);
    listener = loop_listen(&loop, &options);
    /* All are connected before any asks, so that there are more than there are places. */
    before = count_descriptors();
    for (int i = 0; i < CLIENTS; i++)
        sockets[i] = raw_connect(listener_port(listener));
    for (int i = 0; i < CLIENTS; i++)
        raw_write(sockets[i], request, strlen(request));
    for (int i = 0; i < CLIENTS; i++)
        close(sockets[i]);
    while (count_descriptors() > before + 128) {
        CHECK(now_ms() < end);
        sleep_ms(20);
    }
}

static void *set_deadline_later(void *mailbox)
{
    sleep_ms(200);
    CHECK_OK(cmws_mailbox_set_deadline(*(cmws_handle_t *)mailbox, 100));
    return NULL;
}

TEST(S18_a_deadline_that_another_thread_sets_ends_poll)
{
    pthread_t thread;
    int64_t start = now_ms();
    cmws_event_t event;
    size_t count = 9;
    loop_open(&loop);
    CHECK(pthread_create(&thread, NULL, set_deadline_later, &loop.mailbox) == 0);
    CHECK_OK(cmws_mailbox_poll(loop.mailbox, PATIENCE, &event, sizeof event, 1, &count));
    CHECK_INT(count, 0);
    CHECK(now_ms() - start < PATIENCE / 2);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void *send_now_and_then(void *connection)
{
    unsigned random = 1;
    for (int i = 0; i < 12000; i++) {
        CHECK_OK(send_text(*(cmws_handle_t *)connection, "x"));
        usleep((useconds_t)(rand_r(&random) % 300));
    }
    return NULL;
}

/* A host that looks at its mailbox whether the descriptor tells it to or not: just then the signal
 * of an event may be on its way. */
TEST(S5_the_fd_is_quiet_when_poll_has_nothing_to_tell)
{
    struct pair pair;
    pthread_t thread;
    struct pollfd watched = {.events = POLLIN};
    cmws_message_t messages[64];
    cmws_event_t event;
    size_t count, received = 0;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(cmws_mailbox_fd(pair.server_loop.mailbox, &watched.fd));
    CHECK(pthread_create(&thread, NULL, send_now_and_then, &pair.client) == 0);
    while (received < 12000) {
        const struct timespec moment = {0, 20000};
        ppoll(&watched, 1, &moment, NULL);
        do
            CHECK_OK(cmws_mailbox_poll(pair.server_loop.mailbox, 0, &event, sizeof event, 1, &count));
        while (count > 0);
        CHECK_OK(cmws_connection_receive(pair.server, messages, sizeof messages[0], 64, &count));
        cmws_message_release(messages, sizeof messages[0], count);
        received += count;
        for (int in_vain = 0; poll(&watched, 1, 0) == 1; in_vain++) {
            CHECK_OK(cmws_mailbox_poll(pair.server_loop.mailbox, 0, &event, sizeof event, 1, &count));
            if (count > 0)
                break;
            CHECK(in_vain < 100);
        }
    }
    CHECK(pthread_join(thread, NULL) == 0);
}

TEST(S8_a_server_need_not_choose_a_subprotocol)
{
    const char *name = "Sec-WebSocket-Protocol", *value = "chat, superchat";
    const cmws_header_t header = {name, strlen(name), value, strlen(value)};
    char address[64];
    cmws_handle_t listener, connection;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    snprintf(address, sizeof address, "ws://127.0.0.1:%u/", listener_port(listener));
    CHECK_OK(cmws_mailbox_connect(loop.mailbox, address, strlen(address), &header, 1, NULL,
                                  &connection));
    loop_wait(&loop, CMWS_EVENT_OPEN, connection);
    CHECK_INT(info_of(connection).subprotocol_length, 0);
}
