/* Connections that move from one mailbox to another. */
#include "support.h"
#include "raw.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static cmws_handle_t move(cmws_handle_t connection, const struct loop *to)
{
    cmws_handle_t moved = 0;
    CHECK_OK(cmws_connection_move(connection, to->mailbox, &moved));
    CHECK(moved != 0);
    return moved;
}

static void check_moved(cmws_handle_t handle)
{
    cmws_connection_info_t info;
    cmws_message_t message;
    size_t count;
    CHECK_STATUS(send_text(handle, "x"), CMWS_STATUS_MOVED);
    CHECK_STATUS(cmws_connection_receive(handle, &message, sizeof message, 1, &count), CMWS_STATUS_MOVED);
    CHECK_STATUS(cmws_connection_close(handle, 1000, NULL, 0), CMWS_STATUS_MOVED);
    CHECK_STATUS(cmws_connection_ping(handle), CMWS_STATUS_MOVED);
    CHECK_STATUS(cmws_connection_info(handle, sizeof info, &info), CMWS_STATUS_MOVED);
    CHECK_STATUS(cmws_connection_put_back(handle, CMWS_MESSAGE_TEXT, NULL, 0, 0), CMWS_STATUS_MOVED);
}

TEST(S31_what_an_inbox_holds_goes_along)
{
    struct pair pair;
    struct loop other;
    pair_open(&pair, NULL, NULL);
    loop_open(&other);
    CHECK_OK(send_text(pair.client, "one"));
    CHECK_OK(send_text(pair.client, "two"));
    CHECK_OK(send_text(pair.client, "three"));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "one");

    cmws_handle_t moved = move(pair.server, &other);
    CHECK(moved != pair.server);
    CHECK_RECEIVES(&other, moved, "two");
    CHECK_OK(send_text(pair.client, "four"));
    CHECK_RECEIVES(&other, moved, "three");
    CHECK_RECEIVES(&other, moved, "four");
    CHECK_OK(send_text(moved, "back"));
    CHECK_RECEIVES(&pair.client_loop, pair.client, "back");
    loop_wait(&pair.server_loop, CMWS_EVENT_MOVED, pair.server);
    check_moved(pair.server);
    CHECK_STATUS(cmws_connection_move(pair.server, other.mailbox, &(cmws_handle_t){0}), CMWS_STATUS_MOVED);
    /* Letting go of the handle that it had does it no harm. */
    cmws_connection_free(pair.server);
    CHECK_STATUS(send_text(pair.server, "x"), CMWS_STATUS_INVALID_HANDLE);
    CHECK_OK(send_text(moved, "still"));
    CHECK_RECEIVES(&pair.client_loop, pair.client, "still");
    CHECK_INT(move(moved, &other), moved);

    /* It ends with the mailbox that it is in. */
    CHECK_OK(cmws_mailbox_close(pair.server_loop.mailbox));
    CHECK_OK(send_text(pair.client, "five"));
    CHECK_RECEIVES(&other, moved, "five");
    CHECK_OK(cmws_mailbox_close(other.mailbox));
    CHECK_INT(loop_wait(&pair.client_loop, CMWS_EVENT_CLOSED, pair.client).close_code, 1001);
}

TEST(S31_a_connection_that_has_ended_moves_with_its_end)
{
    struct pair pair;
    struct loop other;
    pair_open(&pair, NULL, NULL);
    loop_open(&other);
    CHECK_OK(send_text(pair.client, "last"));
    CHECK_OK(cmws_connection_close(pair.client, 4000, "bye", 3));
    CHECK_INT(loop_wait(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server).close_code, 4000);
    cmws_handle_t moved = move(pair.server, &other);
    CHECK_TEXT(loop_wait(&other, CMWS_EVENT_CLOSED, moved).text, "bye");
    CHECK_RECEIVES(&other, moved, "last");
    cmws_message_t message;
    CHECK(!next_message(&other, moved, &message));
}

TEST(S31_what_was_corked_leaves_and_who_waits_for_room_hears_of_it)
{
    struct pair pair;
    struct loop other;
    cmws_options_t options = options_default();
    char data[1000] = {0};
    options.write_limit = 1;
    pair_open(&pair, &options, NULL);
    loop_open(&other);
    CHECK_OK(send_text(pair.client, "hello"));
    loop_wait(&pair.server_loop, CMWS_EVENT_READABLE, pair.server); /* from here on it corks */
    CHECK_OK(send_text(pair.server, "corked"));
    cmws_handle_t moved = move(pair.server, &other);
    CHECK_RECEIVES(&pair.client_loop, pair.client, "corked");
    cmws_status_t status;
    do
        status = cmws_connection_send(moved, CMWS_MESSAGE_BINARY, (uint8_t *)data, sizeof data, CMWS_SEND_NOTIFY);
    while (status == CMWS_STATUS_OK);
    CHECK_INT(status, CMWS_STATUS_WOULD_BLOCK);
    cmws_handle_t back = move(moved, &pair.server_loop);
    loop_wait(&pair.server_loop, CMWS_EVENT_WRITABLE, back);
}

TEST(S31_a_message_can_be_put_back)
{
    struct pair pair;
    struct loop other;
    pair_open(&pair, NULL, NULL);
    loop_open(&other);
    CHECK_OK(send_text(pair.client, "one"));
    CHECK_OK(send_text(pair.client, "two"));
    CHECK_OK(send_text(pair.client, "three"));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "one");
    CHECK_RECEIVES(&pair.server_loop, pair.server, "two");
    CHECK_OK(cmws_connection_put_back(pair.server, CMWS_MESSAGE_TEXT, (const uint8_t *)"two", 3, 0));
    CHECK_OK(cmws_connection_put_back(pair.server, CMWS_MESSAGE_TEXT, (const uint8_t *)"one", 3, 0));
    cmws_handle_t moved = move(pair.server, &other);
    CHECK_RECEIVES(&other, moved, "one");
    CHECK_RECEIVES(&other, moved, "two");
    CHECK_RECEIVES(&other, moved, "three");
    CHECK_INT(info_of(moved).messages_received, 3);
    /* Into an empty inbox, too. */
    CHECK_OK(cmws_connection_put_back(moved, CMWS_MESSAGE_TEXT, (const uint8_t *)"three", 5, 0));
    loop_wait(&other, CMWS_EVENT_READABLE, moved);
    CHECK_RECEIVES(&other, moved, "three");
    CHECK_STATUS(cmws_connection_put_back(moved, 3, NULL, 0, 0), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_STATUS(cmws_connection_put_back(moved, CMWS_MESSAGE_TEXT, (const uint8_t *)"\xff", 1, 0),
                 CMWS_STATUS_INVALID_TEXT);
}

TEST(S35_a_move_that_is_not_possible_leaves_everything_as_it_was)
{
    struct pair pair;
    struct loop other;
    uint16_t port;
    cmws_handle_t out = 0;
    pair_open(&pair, NULL, NULL);
    loop_open(&other);
    CHECK_OK(cmws_mailbox_close(other.mailbox));
    CHECK_STATUS(cmws_connection_move(pair.server, other.mailbox, &out), CMWS_STATUS_INVALID_HANDLE);
    CHECK_STATUS(cmws_connection_move(pair.server, pair.client, &out), CMWS_STATUS_INVALID_HANDLE);
    CHECK_STATUS(cmws_connection_move(pair.listener, pair.client_loop.mailbox, &out), CMWS_STATUS_INVALID_HANDLE);
    CHECK_STATUS(cmws_connection_move(pair.server, pair.client_loop.mailbox, NULL), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_INT(out, 0);
    int listener = raw_listen(&port);
    cmws_handle_t connecting = loop_connect(&pair.client_loop, port, NULL);
    CHECK_STATUS(cmws_connection_move(connecting, pair.server_loop.mailbox, &out), CMWS_STATUS_INVALID_ARGUMENT);
    CHECK_OK(send_text(pair.client, "hello"));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "hello");
    close(listener);
}

TEST(S36_a_connection_that_moved_comes_back_where_it_is)
{
    struct loop first, second;
    uint16_t port;
    cmws_options_t options = options_default();
    CHECK_OK(cmws_options_set(&options, "reconnect", 9, 1));
    CHECK_OK(cmws_options_set(&options, "reconnect_delay", 15, 0.02));
    loop_open(&first);
    loop_open(&second);
    int listener = raw_listen(&port);
    cmws_handle_t handle = loop_connect(&first, port, &options);
    int fd = raw_serve(listener);
    loop_wait(&first, CMWS_EVENT_OPEN, handle);
    cmws_handle_t moved = move(handle, &second);
    close(fd);
    loop_wait(&second, CMWS_EVENT_LOST, moved);
    cmws_handle_t back = move(moved, &first); /* while it is away */
    fd = raw_serve(listener);
    loop_wait(&first, CMWS_EVENT_OPEN, back);
    raw_send(fd, OP_TEXT, false, "hello", 5);
    CHECK_RECEIVES(&first, back, "hello");
    close(fd);
    close(listener);
    cmws_options_clear(&options);
}

/* Numbers each message, as fast as it can. */
static pid_t flood(uint16_t port, int count)
{
    pid_t child = fork();
    if (child == 0) {
        char text[32];
        int fd = raw_open(port);
        for (int i = 0; i < count; i++)
            raw_send(fd, OP_TEXT, true, text, (size_t)snprintf(text, sizeof text, "%d", i));
        raw_send_close(fd, true, 1000, "");
        while (read(fd, text, sizeof text) > 0)
            continue;
        _exit(0);
    }
    return child;
}

enum { COUNT = 20000, THREADS = 3 };

/* Whoever has the connection takes some messages and gives it to the next. */
struct relay {
    pthread_mutex_t lock;
    pthread_cond_t turns;
    int turn, next, moves;
    bool done;
    cmws_handle_t handle;
    struct loop loops[THREADS];
};

static void *take_turns(void *argument)
{
    struct relay *relay = argument;
    pthread_mutex_lock(&relay->lock);
    int me = relay->turn++;
    pthread_cond_broadcast(&relay->turns);
    struct loop *loop = &relay->loops[me];
    while (relay->turn < THREADS)
        pthread_cond_wait(&relay->turns, &relay->lock);
    for (;;) {
        while (!relay->done && relay->turn % THREADS != me)
            pthread_cond_wait(&relay->turns, &relay->lock);
        if (relay->done)
            break;
        for (int taken = 0; taken < 50;) {
            cmws_message_t message;
            char text[32] = "";
            if (!next_message(loop, relay->handle, &message)) {
                relay->done = true;
                break;
            }
            memcpy(text, message.data, message.length);
            CHECK_INT(atoi(text), relay->next);
            relay->next++;
            taken++;
            release(&message);
        }
        if (!relay->done) {
            cmws_handle_t before = relay->handle;
            relay->turn++;
            relay->moves++;
            relay->handle = move(before, &relay->loops[relay->turn % THREADS]);
            loop_wait(loop, CMWS_EVENT_MOVED, before);
            cmws_connection_free(before);
        }
        pthread_cond_broadcast(&relay->turns);
    }
    pthread_cond_broadcast(&relay->turns);
    pthread_mutex_unlock(&relay->lock);
    return NULL;
}

TEST(S14_a_flood_arrives_in_order_while_its_connection_moves)
{
    struct relay *relay = calloc(1, sizeof *relay);
    pthread_t threads[THREADS];
    pthread_mutex_init(&relay->lock, NULL);
    pthread_cond_init(&relay->turns, NULL);
    for (int i = 0; i < THREADS; i++)
        loop_open(&relay->loops[i]);
    cmws_handle_t listener = loop_listen(&relay->loops[0], NULL);
    pid_t child = flood(listener_port(listener), COUNT);
    relay->handle = loop_accept(&relay->loops[0], listener);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, take_turns, relay) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_INT(relay->next, COUNT);
    CHECK(relay->moves >= COUNT / 50 - 1);
    CHECK(waitpid(child, NULL, 0) == child);
    free(relay);
}
