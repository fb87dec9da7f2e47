/* An echo server: text comes back as text, binary as binary, and nothing is sent unasked.
 *
 *     echo_server [--host H] [--port N] [--max-message-size BYTES] ...
 *
 * Every option of docs/semantics.md that is a number can be given, with dashes for its
 * underscores. The first line printed is "LISTENING <port>".
 *
 * Build: cc echo_server.c $(pkg-config --cflags --libs coromega_ws)
 */
#include <coromega_ws.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 256, BATCH = 32, ROUNDS = 4, BUCKETS = 1024 };

/* Messages that were taken from an inbox and found no room on the way back. They wait here until
 * the connection is writable; meanwhile the rest stays in the inbox, where read_limit bounds it. */
struct held {
    struct held *next;
    cmws_handle_t connection;
    size_t first, count;
    cmws_message_t messages[BATCH];
};

static struct held *held_buckets[BUCKETS];

/* Connections that still had messages when their turn was over. */
static cmws_handle_t *again;
static size_t again_count, again_capacity;

static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

static void fail(const char *what)
{
    fprintf(stderr, "echo_server: %s: %s\n", what, cmws_last_error_text());
    exit(1);
}

static struct held **held_find(cmws_handle_t connection)
{
    struct held **link = &held_buckets[connection % BUCKETS];
    while (*link != NULL && (*link)->connection != connection)
        link = &(*link)->next;
    return link;
}

static void held_drop(struct held **link)
{
    struct held *held = *link;
    *link = held->next;
    cmws_message_release(held->messages + held->first, sizeof(cmws_message_t),
                         held->count - held->first);
    free(held);
}

static void run_again(cmws_handle_t connection)
{
    if (again_count == again_capacity) {
        again_capacity = again_capacity ? again_capacity * 2 : 64;
        again = realloc(again, again_capacity * sizeof *again);
        if (again == NULL)
            abort();
    }
    again[again_count++] = connection;
}

/* Sends messages back; returns how many of them are done with. Fewer than `count` means that a
 * WRITABLE event will come. A connection that is closing takes nothing more: that is no error. */
static size_t send_back(cmws_handle_t connection, const cmws_message_t *messages, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        const cmws_message_t *m = &messages[i];
        if (cmws_connection_send(connection, m->kind, m->data, m->length, CMWS_SEND_NOTIFY) ==
            CMWS_STATUS_WOULD_BLOCK)
            break;
    }
    return i;
}

/* Echoes what is in the inbox, at most a few batches, so that others get their turn. */
static void echo(cmws_handle_t connection)
{
    for (int round = 0; round < ROUNDS; round++) {
        cmws_message_t messages[BATCH];
        size_t count, done;
        if (cmws_connection_receive(connection, messages, sizeof messages[0], BATCH, &count) !=
            CMWS_STATUS_OK)
            return;
        done = send_back(connection, messages, count);
        cmws_message_release(messages, sizeof messages[0], done);
        if (done < count) {
            struct held *held = malloc(sizeof *held);
            if (held == NULL)
                abort();
            held->connection = connection;
            held->first = done;
            held->count = count;
            memcpy(held->messages, messages, sizeof messages);
            held->next = held_buckets[connection % BUCKETS];
            held_buckets[connection % BUCKETS] = held;
            return;
        }
        if (count < BATCH)
            return;
    }
    run_again(connection);
}

static void writable(cmws_handle_t connection)
{
    struct held **link = held_find(connection);
    if (*link != NULL) {
        struct held *held = *link;
        size_t done = send_back(connection, held->messages + held->first, held->count - held->first);
        cmws_message_release(held->messages + held->first, sizeof(cmws_message_t), done);
        held->first += done;
        if (held->first < held->count)
            return;
        held_drop(link);
    }
    echo(connection);
}

static void accept_all(cmws_handle_t listener)
{
    cmws_handle_t connections[64];
    size_t count;
    /* A connection that is taken tells of itself: READABLE comes if it has messages already. */
    do {
        if (cmws_listener_accept(listener, connections, 64, &count) != CMWS_STATUS_OK)
            return;
    } while (count == 64);
}

static void dispatch(const cmws_event_t *event)
{
    struct held **link;
    switch (event->kind) {
    case CMWS_EVENT_ACCEPTED:
        accept_all(event->handle);
        break;
    case CMWS_EVENT_READABLE:
        if (*held_find(event->handle) == NULL)
            echo(event->handle);
        break;
    case CMWS_EVENT_WRITABLE:
        writable(event->handle);
        break;
    case CMWS_EVENT_CLOSED:
        link = held_find(event->handle);
        if (*link != NULL)
            held_drop(link);
        cmws_connection_free(event->handle);
        break;
    case CMWS_EVENT_DEAD:
        fprintf(stderr, "echo_server: %s\n", event->text);
        stopping = 1;
        break;
    default:
        break;
    }
}

static void read_options(int argc, char **argv, const char **host, uint16_t *port,
                         cmws_options_t *options)
{
    for (int i = 1; i < argc; i += 2) {
        char name[64], *end;
        const char *value = argv[i + 1];
        double number;
        if (strncmp(argv[i], "--", 2) != 0 || value == NULL || strlen(argv[i]) > sizeof name) {
            fprintf(stderr, "usage: echo_server [--host H] [--port N] [--OPTION NUMBER]...\n");
            exit(2);
        }
        if (strcmp(argv[i], "--host") == 0) {
            *host = value;
            continue;
        }
        number = strtod(value, &end);
        if (*end != '\0' || end == value) {
            fprintf(stderr, "echo_server: %s wants a number, not %s\n", argv[i], value);
            exit(2);
        }
        if (strcmp(argv[i], "--port") == 0) {
            if (!(number >= 0 && number <= 65535)) {
                fprintf(stderr, "echo_server: a port is at most 65535\n");
                exit(2);
            }
            *port = (uint16_t)number;
            continue;
        }
        strcpy(name, argv[i] + 2);
        for (char *c = name; *c != '\0'; c++)
            if (*c == '-')
                *c = '_';
        if (cmws_options_set(options, name, strlen(name), number) != CMWS_STATUS_OK) {
            fprintf(stderr, "echo_server: %s: %s\n", argv[i], cmws_last_error_text());
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    const char *host = "127.0.0.1";
    uint16_t port = 0;
    cmws_options_t options;
    cmws_address_t address;
    cmws_handle_t mailbox, listener;
    static cmws_event_t events[EVENTS];

    if (cmws_options_init(sizeof options, &options) != CMWS_STATUS_OK)
        fail("options");
    read_options(argc, argv, &host, &port, &options);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);

    if (cmws_mailbox_new(&mailbox) != CMWS_STATUS_OK)
        fail("mailbox");
    if (cmws_mailbox_listen(mailbox, host, strlen(host), port, &options, &listener) !=
        CMWS_STATUS_OK)
        fail("listen");
    if (cmws_listener_address(listener, sizeof address, &address) != CMWS_STATUS_OK)
        fail("address");
    printf("LISTENING %" PRIu16 "\n", address.port);
    fflush(stdout);

    while (!stopping) {
        size_t count, turns = again_count;
        if (cmws_mailbox_poll(mailbox, turns ? 0 : -1, events, sizeof events[0], EVENTS, &count) !=
            CMWS_STATUS_OK)
            fail("poll");
        for (size_t i = 0; i < count; i++)
            dispatch(&events[i]);
        /* Those that came last time; `echo` may put them, and others, behind. A handle that was
         * freed meanwhile is answered with an error and nothing else. */
        for (size_t i = 0; i < turns; i++)
            if (*held_find(again[i]) == NULL)
                echo(again[i]);
        again_count -= turns;
        memmove(again, again + turns, again_count * sizeof *again);
    }
    cmws_mailbox_close(mailbox);
    return 0;
}
