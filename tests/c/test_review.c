/* The option `review`: the program answers each request before it is upgraded. */
#include "raw.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK                                                                                        \
    "GET /room?x=1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"           \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                 \
    "Sec-WebSocket-Protocol: one, two\r\nX-Token: \xe4\r\n\r\n"

static struct loop loop;
static cmws_handle_t listener;
static char answer[70000];

static uint16_t serve(uint32_t open_timeout_ms)
{
    cmws_options_t options = options_default();
    loop_open(&loop);
    CHECK_OK(cmws_options_set(&options, "review", 6, 1));
    CHECK_OK(cmws_options_set_text(&options, "subprotocols", 12, "two", 3));
    options.open_timeout_ms = open_timeout_ms;
    listener = loop_listen(&loop, &options);
    cmws_options_clear(&options);
    return listener_port(listener);
}

/* Sends a request; gives the connection that it may become. */
static cmws_handle_t requested(uint16_t port, int *out_fd)
{
    *out_fd = raw_connect(port);
    raw_write(*out_fd, ASK, strlen(ASK));
    return loop_wait(&loop, CMWS_EVENT_REQUESTED, 0).handle;
}

static cmws_status_t upgrade(cmws_handle_t connection, const char *subprotocol)
{
    return cmws_connection_answer(connection, 101, subprotocol, strlen(subprotocol), NULL, 0, NULL,
                                  0);
}

static cmws_status_t refuse(cmws_handle_t connection, uint16_t status)
{
    return cmws_connection_answer(connection, status, NULL, 0, NULL, 0, NULL, 0);
}

/* The client reads this answer, and the end of the stream. */
static void check_answer(int fd, const char *says)
{
    raw_read_all(fd, answer, sizeof answer);
    CHECK_SAYS(answer, says);
    CHECK_SAYS(answer, "\r\nConnection: close\r\n");
    close(fd);
}

static void check_closed(cmws_handle_t connection, cmws_status_t status, const char *says)
{
    struct seen closed = loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
    CHECK_INT(closed.status, status);
    CHECK_INT(closed.close_code, 1006);
    CHECK_SAYS(closed.text, says);
    CHECK_INT(info_of(connection).state, CMWS_STATE_CLOSED);
    CHECK_STATUS(upgrade(connection, ""), CMWS_STATUS_CLOSED);
    CHECK_STATUS(refuse(connection, 403), CMWS_STATUS_CLOSED);
    cmws_connection_free(connection);
    CHECK_STATUS(upgrade(connection, ""), CMWS_STATUS_INVALID_HANDLE);
}

TEST(S13_a_request_under_review_is_known)
{
    int fd;
    cmws_handle_t connection = requested(serve(10000), &fd);
    cmws_connection_info_t info = info_of(connection);
    cmws_header_t header;
    CHECK_INT(info.state, CMWS_STATE_CONNECTING);
    CHECK_INT(info.path_length, 5);
    CHECK(memcmp(info.path, "/room", 5) == 0);
    CHECK_INT(info.query_length, 3);
    CHECK_INT(info.subprotocol_length, 0);
    CHECK_INT(info.header_count, 7);
    CHECK_OK(cmws_connection_header(connection, 6, sizeof header, &header));
    CHECK(header.value_length == 1 && header.value[0] == '\xe4');
    CHECK_TEXT(info.peer.host, "127.0.0.1");
    CHECK(info.peer.port != 0);
    CHECK_STATUS(send_text(connection, "early"), CMWS_STATUS_WOULD_BLOCK);
}

TEST(S13_an_upgraded_request_becomes_a_connection)
{
    static const cmws_header_t header = {"Set-Cookie", 10, "caf\xe9", 4};
    uint16_t port = serve(10000);
    struct frame frame;
    int fd;
    cmws_handle_t connection = requested(port, &fd);
    raw_send(fd, OP_TEXT, true, "early", 5);
    CHECK_OK(cmws_connection_answer(connection, 101, "one", 3, &header, 1, NULL, 0));
    raw_read_head(fd, answer, sizeof answer);
    CHECK_SAYS(answer, "HTTP/1.1 101 ");
    CHECK_SAYS(answer, "\r\nSec-WebSocket-Protocol: one\r\n");
    CHECK_SAYS(answer, "\r\nSet-Cookie: caf\xe9\r\n");
    loop_wait(&loop, CMWS_EVENT_ACCEPTED, listener);
    loop_run(&loop, 100);
    CHECK(!loop_take(&loop, CMWS_EVENT_READABLE, 0, NULL)); /* not before it is taken */
    CHECK(loop_accept(&loop, listener) == connection);
    CHECK_INT(info_of(connection).state, CMWS_STATE_OPEN);
    CHECK_INT(info_of(connection).subprotocol_length, 3);
    CHECK(memcmp(info_of(connection).subprotocol, "one", 3) == 0);
    loop_wait(&loop, CMWS_EVENT_READABLE, connection);
    CHECK_RECEIVES(&loop, connection, "early");
    CHECK_OK(send_text(connection, "hello"));
    CHECK(raw_read(fd, &frame));
    CHECK_TEXT(frame.payload, "hello");
    CHECK_STATUS(upgrade(connection, ""), CMWS_STATUS_INVALID_ARGUMENT);
}

TEST(S13_without_a_choice_the_list_decides)
{
    int fd;
    cmws_handle_t connection = requested(serve(10000), &fd);
    CHECK_OK(upgrade(connection, ""));
    raw_read_head(fd, answer, sizeof answer);
    CHECK_SAYS(answer, "\r\nSec-WebSocket-Protocol: two\r\n");
    CHECK(loop_accept(&loop, listener) == connection);
    CHECK(memcmp(info_of(connection).subprotocol, "two", 3) == 0);
}

TEST(S13_a_refusal_is_the_programs_own)
{
    static const cmws_header_t headers[] = {{"WWW-Authenticate", 16, "Basic", 5}, {"X-B", 3, "\xff", 1}};
    static uint8_t large[65536];
    uint16_t port = serve(10000);
    int fd;
    cmws_handle_t connection = requested(port, &fd);
    CHECK_OK(cmws_connection_answer(connection, 401, NULL, 0, headers, 2, (const uint8_t *)"who?", 4));
    CHECK_STATUS(refuse(connection, 401), CMWS_STATUS_INVALID_HANDLE);
    raw_read_all(fd, answer, sizeof answer);
    CHECK_TEXT(answer, "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 4\r\n"
                       "WWW-Authenticate: Basic\r\nX-B: \xff\r\n\r\nwho?");
    memset(large, 'x', sizeof large);
    connection = requested(port, &fd);
    CHECK_OK(cmws_connection_answer(connection, 599, NULL, 0, NULL, 0, large, sizeof large));
    raw_read_all(fd, answer, sizeof answer);
    CHECK_SAYS(answer, "HTTP/1.1 599 \r\n");
    CHECK(strspn(strstr(answer, "\r\n\r\n") + 4, "x") == sizeof large);
    loop_run(&loop, 100);
    CHECK_INT(loop.count, 0); /* no event of what was refused */
}

TEST(S13_an_answer_that_is_none_changes_nothing)
{
    static const cmws_header_t bad[] = {{"Connection", 10, "close", 5}, {"A", 1, "b\r\nC: d", 7}};
    static uint8_t large[65537];
    struct pair pair;
    int fd;
    cmws_handle_t connection = requested(serve(10000), &fd);
    static const uint16_t statuses[] = {0, 100, 102, 200, 299, 600, 999};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        CHECK_STATUS(refuse(connection, statuses[i]), CMWS_STATUS_INVALID_ARGUMENT);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(cmws_connection_answer(connection, 101, NULL, 0, bad + i, 1, NULL, 0),
                     CMWS_STATUS_INVALID_HEADER);
        CHECK_STATUS(cmws_connection_answer(connection, 403, NULL, 0, bad + i, 1, NULL, 0),
                     CMWS_STATUS_INVALID_HEADER);
    }
    CHECK_STATUS(upgrade(connection, "three"), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(upgrade(connection, "one, two"), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connection_answer(connection, 101, NULL, 0, NULL, 0, large, 1),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connection_answer(connection, 403, "one", 3, NULL, 0, NULL, 0),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connection_answer(connection, 403, NULL, 0, NULL, 0, large, sizeof large),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connection_answer(connection, 304, NULL, 0, NULL, 0, large, 1),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connection_answer(connection, 403, NULL, 0, NULL, 2, NULL, 0),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_OK(upgrade(connection, "two"));
    CHECK_STATUS(upgrade(connection, "two"), CMWS_STATUS_INVALID_ARGUMENT);
    raw_read_head(fd, answer, sizeof answer);
    CHECK_SAYS(answer, " 101 ");
    pair_open(&pair, NULL, NULL);
    CHECK_STATUS(upgrade(pair.client, ""), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(refuse(pair.server, 403), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(refuse(listener, 403), CMWS_STATUS_INVALID_HANDLE);
}

TEST(S13_bad_requests_are_not_put_to_the_program)
{
    uint16_t port = serve(10000);
    int fd = raw_connect(port);
    raw_write(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    raw_read_all(fd, answer, sizeof answer);
    CHECK_SAYS(answer, " 426 ");
    loop_run(&loop, 100);
    CHECK_INT(loop.count, 0);
}

TEST(S13_no_answer_in_time_is_a_refusal)
{
    int fd;
    cmws_handle_t connection = requested(serve(500), &fd);
    check_answer(fd, "HTTP/1.1 503 ");
    check_closed(connection, CMWS_STATUS_TIMEOUT, "in time");
}

TEST(S13_freeing_a_request_refuses_it)
{
    int fd;
    cmws_handle_t connection = requested(serve(10000), &fd);
    cmws_connection_free(connection);
    CHECK_STATUS(upgrade(connection, ""), CMWS_STATUS_INVALID_HANDLE);
    check_answer(fd, "HTTP/1.1 503 ");
    loop_run(&loop, 100);
    CHECK_INT(loop.count, 0);
}

TEST(S13_closing_a_request_refuses_it)
{
    int fd;
    cmws_handle_t connection = requested(serve(10000), &fd);
    CHECK_OK(cmws_connection_close(connection, 1000, NULL, 0));
    CHECK_STATUS(upgrade(connection, ""), CMWS_STATUS_CLOSED);
    check_answer(fd, "HTTP/1.1 503 ");
    check_closed(connection, CMWS_STATUS_CLOSED, "closed before");
}

TEST(S13_a_client_that_leaves_is_told)
{
    uint16_t port = serve(30000);
    int fd;
    cmws_handle_t connection = requested(port, &fd);
    close(fd);
    check_closed(connection, CMWS_STATUS_TCP, "left");
    connection = requested(port, &fd);
    raw_send(fd, OP_TEXT, true, "good bye", 8);
    raw_reset(fd);
    check_closed(connection, CMWS_STATUS_TCP, "left");
    /* After the answer it is a connection like any other, or never became one. */
    connection = requested(port, &fd);
    CHECK_OK(upgrade(connection, ""));
    raw_reset(fd);
    for (;;) {
        cmws_handle_t taken;
        size_t count;
        CHECK_OK(cmws_listener_accept(listener, &taken, 1, &count));
        if (loop_take(&loop, CMWS_EVENT_CLOSED, connection, NULL))
            break;
        loop_poll(&loop, 1000);
    }
}

TEST(S13_what_comes_during_a_review_is_not_lost)
{
    enum { MANY = 40, SIZE = 1000 };
    static char data[SIZE + 1];
    int fd;
    cmws_handle_t connection = requested(serve(30000), &fd);
    memset(data, 'x', SIZE);
    for (int i = 0; i < MANY; i++) /* more than is read before the answer */
        raw_send(fd, OP_TEXT, true, data, SIZE);
    sleep_ms(100);
    CHECK_OK(upgrade(connection, ""));
    CHECK(loop_accept(&loop, listener) == connection);
    for (int i = 0; i < MANY; i++)
        CHECK_RECEIVES(&loop, connection, data);
}

TEST(S12_a_listener_that_stops_refuses_what_is_under_review)
{
    int fd;
    cmws_handle_t connection = requested(serve(30000), &fd);
    CHECK_OK(cmws_listener_close(listener, NULL, 0));
    check_answer(fd, "HTTP/1.1 503 ");
    check_closed(connection, CMWS_STATUS_CLOSED, "listener");
    connection = requested(serve(30000), &fd);
    cmws_listener_free(listener);
    check_answer(fd, "HTTP/1.1 503 ");
    check_closed(connection, CMWS_STATUS_CLOSED, "listener");
}

TEST(S27_a_mailbox_that_ends_refuses_what_is_under_review)
{
    int fd;
    cmws_handle_t connection = requested(serve(30000), &fd);
    CHECK_OK(cmws_mailbox_close(loop.mailbox));
    CHECK_STATUS(upgrade(connection, ""), CMWS_STATUS_INVALID_HANDLE);
    check_answer(fd, "HTTP/1.1 503 ");
}

static void *upgrade_later(void *connection)
{
    sleep_ms(100);
    CHECK_OK(upgrade(*(cmws_handle_t *)connection, ""));
    return NULL;
}

TEST(S13_any_thread_may_answer)
{
    pthread_t thread;
    int fd;
    cmws_handle_t connection = requested(serve(30000), &fd);
    CHECK(pthread_create(&thread, NULL, upgrade_later, &connection) == 0);
    CHECK(loop_accept(&loop, listener) == connection);
    pthread_join(thread, NULL);
}

TEST(S13_one_that_is_freed_before_it_is_taken_is_not_given)
{
    uint16_t port = serve(30000);
    struct frame frame;
    int fd, other;
    cmws_handle_t connection = requested(port, &fd), second;
    CHECK_OK(upgrade(connection, ""));
    raw_read_head(fd, answer, sizeof answer);
    loop_wait(&loop, CMWS_EVENT_ACCEPTED, listener);
    second = requested(port, &other);
    CHECK_OK(upgrade(second, ""));
    raw_read_head(other, answer, sizeof answer);
    cmws_connection_free(connection);
    CHECK(loop_accept(&loop, listener) == second);
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.code, 1001);
}

TEST(S11_at_most_128_are_under_review)
{
    enum { CLIENTS = 160 };
    static int fds[CLIENTS];
    cmws_handle_t asked[CLIENTS];
    size_t count = 0;
    int64_t end = now_ms() + PATIENCE;
    struct seen seen;
    int before;
    uint16_t port = serve(60000);
    close(raw_connect(port));
    sleep_ms(100);
    before = count_descriptors();
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = raw_connect(port);
        raw_write(fds[i], ASK, strlen(ASK));
    }
    while (count < 128)
        asked[count++] = loop_wait(&loop, CMWS_EVENT_REQUESTED, 0).handle;
    loop_run(&loop, 300);
    CHECK(!loop_take(&loop, CMWS_EVENT_REQUESTED, 0, &seen));
    /* Each answer lets the next one in. */
    for (size_t i = 0; i < CLIENTS; i++) {
        CHECK_OK(refuse(asked[i], 403));
        if (count < CLIENTS)
            asked[count++] = loop_wait(&loop, CMWS_EVENT_REQUESTED, 0).handle;
    }
    for (int i = 0; i < CLIENTS; i++)
        check_answer(fds[i], "HTTP/1.1 403 Forbidden\r\n");
    while (count_descriptors() > before) { /* nothing stays */
        CHECK(now_ms() < end);
        sleep_ms(10);
    }
}

TEST(S13_reviews_leave_no_memory_behind)
{
    enum { ROUNDS = 1600 };
    uint16_t port = serve(30000);
    long before = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int fd;
        cmws_handle_t connection = requested(port, &fd);
        if (i == 100)
            before = resident_kib();
        if (i % 3 == 0)
            CHECK_OK(refuse(connection, 403));
        else if (i % 3 == 1)
            cmws_connection_free(connection);
        close(fd);
        if (i % 3 == 2) {
            loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
            cmws_connection_free(connection);
        }
    }
    /* 500 of each kind, and a connection that stays takes 1.5 KiB. */
    CHECK(resident_kib() - before < 500);
}
