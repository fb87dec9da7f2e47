/* One message for many connections, and what becomes of those that are slow. */
#include "support.h"
#include "raw.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANY = 20 };

/* A listener, peers that speak by hand, and our ends of their connections. */
struct room {
    struct loop loop;
    cmws_handle_t listener, handles[MANY];
    int fds[MANY];
};

static void room_open(struct room *room, int count, const cmws_options_t *options)
{
    loop_open(&room->loop);
    room->listener = loop_listen(&room->loop, options);
    for (int i = 0; i < count; i++) {
        room->fds[i] = raw_open(listener_port(room->listener));
        room->handles[i] = loop_accept(&room->loop, room->listener);
    }
}

static cmws_status_t tell(const struct room *room, int count, const char *text, unsigned slow,
                          cmws_status_t *statuses, size_t *accepted)
{
    return cmws_connections_send(room->handles, (size_t)count, CMWS_MESSAGE_TEXT, (const uint8_t *)text,
                                 strlen(text), 0, slow, statuses, accepted);
}

static void check_reads(int fd, const char *text)
{
    struct frame *frame = calloc(1, sizeof *frame);
    CHECK(raw_read(fd, frame));
    CHECK_INT(frame->opcode, OP_TEXT);
    CHECK(!frame->masked);
    CHECK_INT(frame->length, strlen(text));
    CHECK(memcmp(frame->payload, text, frame->length) == 0);
    free(frame);
}

TEST(S20_one_message_for_many_connections)
{
    struct room room;
    cmws_status_t statuses[MANY];
    size_t accepted;
    char *large = calloc(1, 40001);
    memset(large, 'l', 40000);
    room_open(&room, MANY, NULL);
    for (int i = 0; i < MANY; i++) {
        char own[16];
        snprintf(own, sizeof own, "own %d", i);
        CHECK_OK(send_text(room.handles[i], own));
    }
    CHECK_OK(tell(&room, MANY, "hello", CMWS_SLOW_WAIT, statuses, &accepted));
    CHECK_INT(accepted, MANY);
    CHECK_OK(tell(&room, MANY, large, CMWS_SLOW_WAIT, NULL, NULL));
    CHECK_OK(tell(&room, MANY, "", CMWS_SLOW_WAIT, NULL, &accepted));
    for (int i = 0; i < MANY; i++) {
        char own[16];
        snprintf(own, sizeof own, "own %d", i);
        CHECK_INT(statuses[i], CMWS_STATUS_OK);
        check_reads(room.fds[i], own);
        check_reads(room.fds[i], "hello");
        check_reads(room.fds[i], large);
        check_reads(room.fds[i], "");
        CHECK_INT(info_of(room.handles[i]).messages_sent, 4);
    }
    CHECK_INT(accepted, MANY);

    /* What can't be sent to some reaches the others. */
    CHECK_OK(cmws_connection_close(room.handles[3], 1000, NULL, 0));
    cmws_connection_free(room.handles[5]);
    CHECK_OK(tell(&room, MANY, "again", CMWS_SLOW_CLOSE, statuses, &accepted));
    CHECK_INT(accepted, MANY - 2);
    CHECK_INT(statuses[3], CMWS_STATUS_CLOSED);
    CHECK_INT(statuses[5], CMWS_STATUS_INVALID_HANDLE);
    check_reads(room.fds[MANY - 1], "again");
    CHECK_OK(tell(&room, 0, "nobody", CMWS_SLOW_WAIT, NULL, &accepted));
    CHECK_INT(accepted, 0);
    CHECK_STATUS(tell(&room, 1, "\xff", CMWS_SLOW_WAIT, NULL, NULL), CMWS_STATUS_INVALID_TEXT);
    CHECK_STATUS(tell(&room, 1, "x", 4, NULL, NULL), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connections_send(NULL, 1, 1, NULL, 0, 0, 0, NULL, NULL), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connections_send(room.handles, SIZE_MAX, 1, NULL, 0, 0, 0, NULL, NULL),
                 CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connections_send(room.handles, 1, 3, NULL, 0, 0, 0, NULL, NULL),
                 CMWS_STATUS_INVALID_ARGUMENT);
    free(large);
}

TEST(S20_one_message_for_many_with_and_without_compression)
{
    struct loop loop;
    cmws_options_t plain = options_default(), packed = options_default(), shared = options_default();
    cmws_handle_t clients[6], servers[6];
    char text[4000];
    loop_open(&loop);
    CHECK_OK(cmws_options_set(&plain, "compression", 11, 0));
    CHECK_OK(cmws_options_set(&packed, "compression", 11, 1));
    CHECK_OK(cmws_options_set(&shared, "compression", 11, 1));
    CHECK_OK(cmws_options_set(&shared, "context_takeover", 16, 1));
    cmws_options_t *all[] = {&plain, &packed, &shared};
    for (int i = 0; i < 6; i++) {
        cmws_handle_t listener = loop_listen(&loop, all[i % 3]);
        clients[i] = loop_connect(&loop, listener_port(listener), all[i % 3]);
        loop_wait(&loop, CMWS_EVENT_OPEN, clients[i]);
        servers[i] = loop_accept(&loop, listener);
    }
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (char)('a' + (i * (unsigned)(round + 3) / 7) % 26);
        text[sizeof text - 1] = 0;
        /* To both ends of each, with messages of their own between. */
        for (int i = 0; i < 6; i++)
            CHECK_OK(send_text(servers[i], text));
        CHECK_OK(cmws_connections_send(servers, 6, 1, (uint8_t *)text, 2000, 0, 0, NULL, NULL));
        CHECK_OK(cmws_connections_send(clients, 6, 1, (uint8_t *)text, 1000, 0, 0, NULL, NULL));
        for (int i = 0; i < 6; i++)
            CHECK_OK(send_text(servers[i], text));
        for (int i = 0; i < 6; i++) {
            for (int k = 0; k < 4; k++) {
                cmws_message_t message;
                CHECK(next_message(&loop, k == 3 ? servers[i] : clients[i], &message));
                CHECK_INT(message.length, k == 3 ? 1000 : k == 1 ? 2000 : (int)sizeof text - 1);
                CHECK(memcmp(message.data, text, message.length) == 0);
                release(&message);
            }
        }
    }
    cmws_options_clear(&plain);
    cmws_options_clear(&packed);
    cmws_options_clear(&shared);
}

static int wait_for(pid_t child)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static cmws_options_t small_limit(void)
{
    cmws_options_t options = options_default();
    options.write_limit = 4096;
    return options;
}

/* Fills the connection of a peer that does not read. */
static void fill(cmws_handle_t handle)
{
    static char data[2000];
    memset(data, '.', sizeof data);
    while (cmws_connection_send(handle, CMWS_MESSAGE_TEXT, (uint8_t *)data, sizeof data, 0) == CMWS_STATUS_OK)
        continue;
}

/* Reads over what filled it, and then what text comes. */
static char *next_text(int fd, struct frame *frame)
{
    do {
        CHECK(raw_read(fd, frame));
    } while (frame->opcode == OP_TEXT && frame->payload[0] == '.');
    frame->payload[frame->length] = 0;
    return frame->payload;
}

TEST(S20_a_slow_receiver_waits_or_misses_the_newest_and_others_do_not_notice)
{
    struct room room;
    cmws_status_t statuses[2];
    struct frame *frame = calloc(1, sizeof *frame);
    cmws_options_t options = small_limit();
    room_open(&room, 2, &options);
    fill(room.handles[0]);
    CHECK_OK(tell(&room, 2, "1", CMWS_SLOW_DROP_NEWEST, statuses, NULL));
    CHECK_INT(statuses[0], CMWS_STATUS_WOULD_BLOCK);
    CHECK_INT(statuses[1], CMWS_STATUS_OK);
    check_reads(room.fds[1], "1");
    CHECK_OK(cmws_connections_send(room.handles, 2, CMWS_MESSAGE_TEXT, (const uint8_t *)"2", 1, CMWS_SEND_NOTIFY,
                                   CMWS_SLOW_WAIT, statuses, NULL));
    CHECK_INT(statuses[0], CMWS_STATUS_WOULD_BLOCK);
    check_reads(room.fds[1], "2");
    pid_t reader = fork();
    if (reader == 0) {
        _exit(strcmp(next_text(room.fds[0], frame), "3") != 0);
    }
    loop_wait(&room.loop, CMWS_EVENT_WRITABLE, room.handles[0]);
    CHECK_OK(tell(&room, 2, "3", CMWS_SLOW_WAIT, statuses, NULL));
    CHECK_INT(statuses[0], CMWS_STATUS_OK);
    check_reads(room.fds[1], "3");
    CHECK_INT(wait_for(reader), 0);
    free(frame);
}

TEST(S20_a_slow_receiver_misses_the_oldest_and_gets_the_newest_in_order)
{
    struct room room;
    char text[1001];
    struct frame *frame = calloc(1, sizeof *frame);
    cmws_options_t options = small_limit();
    room_open(&room, 2, &options);
    fill(room.handles[0]);
    long before = resident_kib();
    memset(text, 'x', sizeof text);
    text[1000] = 0;
    for (int i = 0; i < 1000; i++) {
        memcpy(text, "0000", 4);
        text[0] = (char)('0' + i / 100);
        text[1] = (char)('0' + i / 10 % 10);
        text[2] = (char)('0' + i % 10);
        size_t accepted;
        CHECK_OK(tell(&room, 2, text, CMWS_SLOW_DROP_OLDEST, NULL, &accepted));
        CHECK_INT(accepted, 2);
        check_reads(room.fds[1], text);
    }
    CHECK(resident_kib() - before < 1024);
    /* Others wait behind them. */
    CHECK_STATUS(send_text(room.handles[0], "last"), CMWS_STATUS_WOULD_BLOCK);
    CHECK_STATUS(cmws_connection_send(room.handles[0], CMWS_MESSAGE_TEXT, (const uint8_t *)"last", 4,
                                      CMWS_SEND_NOTIFY),
                 CMWS_STATUS_WOULD_BLOCK);
    pid_t reader = fork();
    if (reader == 0) {
        /* Three have room in 4096 bytes. */
        for (int i = 997; i < 1000; i++)
            if (atoi(next_text(room.fds[0], frame)) != i * 10 || frame->length != 1000)
                _exit(1);
        _exit(strcmp(next_text(room.fds[0], frame), "last") == 0 ? 0 : 2);
    }
    loop_wait(&room.loop, CMWS_EVENT_WRITABLE, room.handles[0]);
    CHECK_OK(send_text(room.handles[0], "last"));
    CHECK_INT(wait_for(reader), 0);
    free(frame);
}

TEST(S25_what_is_kept_for_a_slow_receiver_leaves_before_the_close_frame)
{
    struct room room;
    struct frame *frame = calloc(1, sizeof *frame);
    cmws_options_t options = small_limit();
    room_open(&room, 1, &options);
    fill(room.handles[0]);
    CHECK_OK(tell(&room, 1, "kept 1", CMWS_SLOW_DROP_OLDEST, NULL, NULL));
    CHECK_OK(tell(&room, 1, "kept 2", CMWS_SLOW_DROP_OLDEST, NULL, NULL));
    CHECK_OK(cmws_connection_close(room.handles[0], 1000, NULL, 0));
    CHECK_TEXT(next_text(room.fds[0], frame), "kept 1");
    CHECK_TEXT(next_text(room.fds[0], frame), "kept 2");
    CHECK(raw_read(room.fds[0], frame));
    CHECK_INT(frame->code, 1000);
    free(frame);
}

TEST(S20_a_slow_receiver_is_closed)
{
    struct room room;
    cmws_status_t statuses[2];
    struct frame *frame = calloc(1, sizeof *frame);
    cmws_options_t options = small_limit();
    room_open(&room, 2, &options);
    fill(room.handles[0]);
    CHECK_OK(tell(&room, 2, "1", CMWS_SLOW_CLOSE, statuses, NULL));
    CHECK_INT(statuses[0], CMWS_STATUS_CLOSED);
    CHECK_INT(statuses[1], CMWS_STATUS_OK);
    next_text(room.fds[0], frame);
    CHECK_INT(frame->opcode, OP_CLOSE);
    CHECK_INT(frame->code, 1008);
    raw_send_close(room.fds[0], true, 1008, "");
    CHECK_INT(loop_wait(&room.loop, CMWS_EVENT_CLOSED, room.handles[0]).close_code, 1008);
    free(frame);
}
