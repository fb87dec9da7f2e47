/* Draining: a listener's connections are closed within a given time. */
#include "support.h"
#include "raw.h"

#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 40 };

static cmws_status_t drain(cmws_handle_t listener, double seconds, const char *reason)
{
    return cmws_listener_drain(listener, seconds, reason, strlen(reason));
}

static size_t connections(cmws_handle_t listener)
{
    size_t count;
    CHECK_OK(cmws_listener_connections(listener, NULL, 0, &count));
    return count;
}

static bool is_readable(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

TEST(S12_draining_spreads_1001_over_its_time)
{
    struct loop loop;
    int fds[CLIENTS];
    struct frame *frame = calloc(1, sizeof *frame);
    cmws_handle_t listener, taken[CLIENTS], handles[CLIENTS + 1];
    size_t count;
    int64_t start;
    int told = 0;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = raw_open(listener_port(listener));
        taken[i] = loop_accept(&loop, listener);
    }
    CHECK_OK(cmws_listener_connections(listener, handles, CLIENTS + 1, &count));
    CHECK_INT(count, CLIENTS);
    CHECK(memcmp(handles, taken, sizeof taken) == 0);

    start = now_ms();
    CHECK_OK(drain(listener, 4, "bye"));
    CHECK_STATUS(drain(listener, 4, "bye"), CMWS_STATUS_CLOSED);
    CHECK_STATUS(cmws_listener_close(listener, NULL, 0), CMWS_STATUS_CLOSED);
    /* The last quarter is for answers: none is told before its time. */
    for (int i = 0; i < CLIENTS; i++) {
        CHECK(raw_read(fds[i], frame));
        CHECK_INT(frame->opcode, OP_CLOSE);
        CHECK_INT(frame->code, 1001);
        CHECK(now_ms() - start >= 3000 * i / CLIENTS - 1);
        if (i == CLIENTS / 4)
            for (int j = 0; j < CLIENTS; j++)
                told += is_readable(fds[j]);
        raw_send_close(fds[i], true, 1001, "");
    }
    /* When the 11th had been told, at 0.75 s, most had not; a slow machine has until 2.9 s. */
    CHECK(told < CLIENTS - CLIENTS / 4 - 1);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, handles[i]).close_code, 1001);
    CHECK_TEXT(loop_wait(&loop, CMWS_EVENT_DEAD, listener).text, "bye");
    CHECK_INT(connections(listener), 0);
}

TEST(S12_who_does_not_answer_is_cut_off_when_the_time_of_draining_is_over)
{
    struct loop loop;
    struct seen seen;
    cmws_handle_t listener, connection;
    int64_t start;
    int fd;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    fd = raw_open(listener_port(listener));
    connection = loop_accept(&loop, listener);
    start = now_ms();
    CHECK_OK(drain(listener, 0.5, ""));
    CHECK_INT(connections(listener), 1);
    seen = loop_wait(&loop, CMWS_EVENT_CLOSED, connection);
    CHECK_STATUS(seen.status, CMWS_STATUS_TIMEOUT);
    CHECK_INT(seen.close_code, 1001);
    CHECK_TEXT(loop_wait(&loop, CMWS_EVENT_DEAD, listener).text, "closed");
    /* It had the time that it was given, and not close_timeout, which is 10 s. */
    CHECK(now_ms() - start >= 499 && now_ms() - start < 9000);
    close(fd);
}

TEST(S12_draining_without_connections_ends_at_once)
{
    struct loop loop;
    cmws_handle_t listener;
    int64_t start = now_ms();
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    CHECK_STATUS(drain(listener, 0, ""), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_SAYS(cmws_last_error_text(), "drain");
    CHECK_STATUS(drain(listener, 1e9, ""), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(drain(listener, 10, "\xff"), CMWS_STATUS_INVALID_CLOSE);
    CHECK_OK(drain(listener, 3600, ""));
    loop_wait(&loop, CMWS_EVENT_DEAD, listener);
    CHECK(now_ms() - start < PATIENCE);
}

TEST(S12_a_freed_listener_goes_on_draining)
{
    struct pair pair;
    cmws_message_t message;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(drain(pair.listener, 1, "bye"));
    cmws_listener_free(pair.listener);
    CHECK_STATUS(drain(pair.listener, 1, ""), CMWS_STATUS_INVALID_HANDLE);
    CHECK(!next_message(&pair.client_loop, pair.client, &message));
    CHECK_INT(info_of(pair.client).close_code, 1001);
    CHECK_INT(loop_wait(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server).close_code, 1001);
}
