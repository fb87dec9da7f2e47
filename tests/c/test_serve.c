/* Listening and accepting. */
#include "support.h"
#include "raw.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop loop;

static const char *const request = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

TEST(S10_the_port_is_bound_when_listen_returns)
{
    cmws_handle_t listener;
    cmws_address_t address;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    CHECK_OK(cmws_listener_address(listener, sizeof address, &address));
    CHECK_TEXT(address.host, "127.0.0.1");
    close(raw_connect(address.port));
}

TEST(S10_a_name_binds_its_first_address)
{
    cmws_handle_t listener;
    cmws_address_t address;
    loop_open(&loop);
    CHECK_OK(cmws_mailbox_listen(loop.mailbox, "localhost", 9, 0, NULL, &listener));
    CHECK_OK(cmws_listener_address(listener, sizeof address, &address));
    CHECK(strcmp(address.host, "127.0.0.1") == 0 || strcmp(address.host, "::1") == 0);
}

TEST(S10_a_port_in_use_is_told_by_the_call)
{
    uint16_t port;
    cmws_handle_t listener;
    raw_listen(&port);
    loop_open(&loop);
    CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, "127.0.0.1", 9, port, NULL, &listener),
                 CMWS_STATUS_LISTEN);
    CHECK_SAYS(cmws_last_error_text(), "listen on 127.0.0.1:");
    CHECK_SAYS(cmws_last_error_text(), "in use");
    loop_run(&loop, 100);
    CHECK_INT(loop.count, 0);
}

TEST(S10_hosts_that_are_none)
{
    cmws_handle_t listener;
    loop_open(&loop);
    CHECK(cmws_mailbox_listen(loop.mailbox, "no-such-host.invalid", 20, 0, NULL, &listener) !=
          CMWS_STATUS_OK);
    CHECK_SAYS(cmws_last_error_text(), "no-such-host.invalid");
    CHECK(cmws_mailbox_listen(loop.mailbox, "a\0b", 3, 0, NULL, &listener) != CMWS_STATUS_OK);
    CHECK(cmws_mailbox_listen(loop.mailbox, "\xff\xfe", 2, 0, NULL, &listener) != CMWS_STATUS_OK);
}

TEST(S10_the_same_port_again_after_close)
{
    cmws_handle_t listener, again;
    uint16_t port;
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    listener = pair.listener;
    port = listener_port(listener);
    CHECK_OK(cmws_listener_close(listener, NULL, 0));
    loop_wait(&pair.server_loop, CMWS_EVENT_DEAD, listener);
    CHECK_OK(cmws_mailbox_listen(pair.server_loop.mailbox, "127.0.0.1", 9, port, NULL, &again));
}

/* How many of these sockets have an answer. */
static int count_answered(const int *sockets, int count)
{
    int answered = 0;
    for (int i = 0; i < count; i++) {
        struct pollfd wait = {sockets[i], POLLIN, 0};
        answered += poll(&wait, 1, 0) == 1;
    }
    return answered;
}

TEST(S11_at_most_128_wait_to_be_accepted)
{
    enum { CLIENTS = 160 };
    static int sockets[CLIENTS];
    cmws_handle_t listener, connections[CLIENTS];
    size_t taken = 0;
    int64_t end = now_ms() + PATIENCE;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        sockets[i] = raw_connect(listener_port(listener));
        raw_write(sockets[i], request, strlen(request));
    }
    while (count_answered(sockets, CLIENTS) < 128) {
        CHECK(now_ms() < end);
        sleep_ms(10);
    }
    sleep_ms(300);
    CHECK_INT(count_answered(sockets, CLIENTS), 128);
    while (taken < CLIENTS) {
        size_t count;
        CHECK(now_ms() < end);
        loop_poll(&loop, 100);
        CHECK_OK(cmws_listener_accept(listener, connections + taken, CLIENTS - taken, &count));
        taken += count;
    }
    while (count_answered(sockets, CLIENTS) < CLIENTS) {
        CHECK(now_ms() < end);
        sleep_ms(10);
    }
}

TEST(S11_one_event_for_a_queue_that_was_empty)
{
    cmws_handle_t listener, connections[3];
    size_t count;
    int64_t end = now_ms() + PATIENCE;
    int fds[3];
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    for (int i = 0; i < 3; i++)
        fds[i] = raw_open(listener_port(listener));
    loop_wait(&loop, CMWS_EVENT_ACCEPTED, listener);
    loop_run(&loop, 100);
    CHECK(!loop_take(&loop, CMWS_EVENT_ACCEPTED, listener, NULL));
    for (size_t taken = 0; taken < 3; taken += count) {
        CHECK(now_ms() < end);
        CHECK_OK(cmws_listener_accept(listener, connections, 1, &count));
    }
    CHECK_OK(cmws_listener_accept(listener, connections, 3, &count));
    CHECK_INT(count, 0);
    raw_open(listener_port(listener));
    loop_wait(&loop, CMWS_EVENT_ACCEPTED, listener);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

TEST(S11_what_came_before_the_accept_is_not_lost)
{
    cmws_handle_t listener, connection;
    int fd;
    struct seen closed;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    fd = raw_open(listener_port(listener));
    raw_send(fd, OP_TEXT, true, "early", 5);
    raw_send_close(fd, true, 3001, "left early");
    sleep_ms(100);
    connection = loop_accept(&loop, listener);
    loop_wait(&loop, CMWS_EVENT_READABLE, connection);
    CHECK_RECEIVES(&loop, connection, "early");
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
    CHECK_INT(closed.close_code, 3001);
    CHECK_TEXT(closed.text, "left early");
}

static int64_t cpu_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

TEST(S11_accepting_pauses_when_descriptors_run_out)
{
    enum { CLIENTS = 40 };
    int port_pipe[2], go_on[2];
    pid_t clients;
    uint16_t port;
    cmws_handle_t listener, taken[CLIENTS];
    size_t count = 0, total = 0, n;
    int64_t end = now_ms() + PATIENCE, cpu;
    struct rlimit limit;
    char byte = 0;
    if (slowness() > 1)
        test_skip("valgrind counts descriptors itself, and drops what a call brings too many of");
    CHECK(pipe(port_pipe) == 0 && pipe(go_on) == 0);
    /* The clients live in a process of their own, made before the library starts anything. */
    clients = fork();
    if (clients == 0) {
        int fds[CLIENTS];
        CHECK(read(port_pipe[0], &port, sizeof port) == sizeof port);
        for (int i = 0; i < CLIENTS; i++) {
            fds[i] = raw_connect(port);
            raw_write(fds[i], request, strlen(request));
        }
        for (int i = 0; i < CLIENTS; i++) {
            char head[1024];
            raw_read_head(fds[i], head, sizeof head);
            CHECK_SAYS(head, " 101 ");
        }
        CHECK(read(go_on[0], &byte, 1) == 1);
        _exit(0);
    }
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    port = listener_port(listener);
    limit.rlim_cur = (rlim_t)count_descriptors() + 12;
    limit.rlim_max = limit.rlim_cur + 100;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(write(port_pipe[1], &port, sizeof port) == sizeof port);
    while (total < 8) {
        CHECK(now_ms() < end);
        loop_poll(&loop, 50);
        CHECK_OK(cmws_listener_accept(listener, taken + total, CLIENTS - total, &count));
        total += count;
    }
    loop_run(&loop, 200);
    cpu = cpu_ms();
    loop_run(&loop, 600);
    CHECK(cpu_ms() - cpu < 300); /* it waits, it does not spin */
    limit.rlim_cur += 80;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (total < CLIENTS) {
        CHECK(now_ms() < end);
        loop_poll(&loop, 50);
        CHECK_OK(cmws_listener_accept(listener, taken + total, CLIENTS - total, &n));
        total += n;
    }
    CHECK(write(go_on[1], &byte, 1) == 1);
    CHECK(waitpid(clients, NULL, 0) == clients);
}

TEST(S12_dead_once_with_the_reason)
{
    struct pair pair;
    struct seen dead;
    cmws_handle_t out;
    size_t count;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(cmws_listener_close(pair.listener, "going home", 10));
    CHECK_STATUS(cmws_listener_close(pair.listener, "twice", 5), CMWS_STATUS_CLOSED);
    dead = loop_wait(&pair.server_loop, CMWS_EVENT_DEAD, pair.listener);
    CHECK_TEXT(dead.text, "going home");
    CHECK_INT(dead.status, CMWS_STATUS_OK);
    loop_run(&pair.server_loop, 100);
    CHECK(!loop_take(&pair.server_loop, CMWS_EVENT_DEAD, 0, NULL));
    CHECK_STATUS(cmws_listener_accept(pair.listener, &out, 1, &count), CMWS_STATUS_CLOSED);
    /* A connection that was handed over lives on. */
    CHECK_OK(send_text(pair.client, "alive"));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "alive");
    cmws_listener_free(pair.listener);
}

TEST(S12_the_reason_has_a_default)
{
    cmws_handle_t listener;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    CHECK_OK(cmws_listener_close(listener, NULL, 0));
    CHECK_TEXT(loop_wait(&loop, CMWS_EVENT_DEAD, listener).text, "closed");
}

TEST(S12_those_still_waiting_are_closed_with_1001)
{
    cmws_handle_t listener;
    struct frame frame;
    int fd;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    fd = raw_open(listener_port(listener));
    loop_wait(&loop, CMWS_EVENT_ACCEPTED, listener);
    CHECK_OK(cmws_listener_close(listener, NULL, 0));
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_CLOSE);
    CHECK_INT(frame.code, 1001);
}

TEST(S12_free_tells_nothing_and_the_port_is_given_back)
{
    cmws_handle_t listener;
    uint16_t port;
    int64_t end = now_ms() + PATIENCE;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    port = listener_port(listener);
    cmws_listener_free(listener);
    loop_run(&loop, 100);
    CHECK_INT(loop.count, 0);
    while (cmws_mailbox_listen(loop.mailbox, "127.0.0.1", 9, port, NULL, &listener) !=
           CMWS_STATUS_OK) {
        CHECK(now_ms() < end);
        sleep_ms(10);
    }
}

TEST(S13_the_request_is_told)
{
    struct loop client_loop;
    cmws_handle_t listener, connection, server;
    cmws_connection_info_t info;
    char address[128];
    bool found = false;
    const cmws_header_t headers[] = {{"X-Colour", 8, "bl\xc3\xa4ulich", 9}};
    loop_open(&loop);
    loop_open(&client_loop);
    listener = loop_listen(&loop, NULL);
    snprintf(address, sizeof address, "ws://127.0.0.1:%u/a/b%%20c?x=1&y=%%3F",
             listener_port(listener));
    CHECK_OK(cmws_mailbox_connect(client_loop.mailbox, address, strlen(address), headers, 1, NULL,
                                  &connection));
    server = loop_accept(&loop, listener);
    CHECK_INT(info_of(connection).listener, 0);
    info = info_of(server);
    CHECK_INT(info.listener, listener);
    CHECK_INT(info.path_length, 8);
    CHECK(memcmp(info.path, "/a/b%20c", 8) == 0);
    CHECK_INT(info.query_length, 9);
    CHECK(memcmp(info.query, "x=1&y=%3F", 9) == 0);
    CHECK_INT(info.subprotocol_length, 0);
    CHECK_TEXT(info.peer.host, "127.0.0.1");
    CHECK(info.peer.port != 0);
    for (size_t i = 0; i < info.header_count; i++) {
        cmws_header_t h;
        CHECK_OK(cmws_connection_header(server, i, sizeof h, &h));
        if (h.name_length == 8 && strncasecmp(h.name, "x-colour", 8) == 0)
            found = h.value_length == 9 && memcmp(h.value, "bl\xc3\xa4ulich", 9) == 0;
    }
    CHECK(found);
}
