/* The echo server of the benchmark.
 *
 *     echo [--tls CERTIFICATE KEY] [--compress] [--broadcast]
 *
 * Not for use elsewhere: the load never has more in flight than `write_limit`, so that a send that
 * would block is an error here. examples/c/echo_server.c shows what to do with one.
 *
 * The first line printed is "LISTENING <port>".
 */
#include <coromega_ws.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 256, BATCH = 64, MOST = 65536 };

static bool broadcast;
/* Those that a message goes to. */
static cmws_handle_t all[MOST];
static size_t all_count;
static cmws_status_t statuses[MOST];

static void check(cmws_status_t status, const char *what)
{
    if (status != CMWS_STATUS_OK) {
        fprintf(stderr, "echo: %s: %s\n", what, cmws_last_error_text());
        exit(1);
    }
}

static void accept_all(cmws_handle_t listener)
{
    size_t count;
    do {
        if (all_count + BATCH > MOST)
            all_count = 0; /* of churn, where nobody asks who is there */
        check(cmws_listener_accept(listener, all + all_count, BATCH, &count), "accept");
        all_count += count;
    } while (count == BATCH);
}

static void send_one(cmws_handle_t connection, const cmws_message_t *message)
{
    cmws_status_t status;
    if (broadcast)
        status = cmws_connections_send(all, all_count, message->kind, message->data, message->length,
                                       0, CMWS_SLOW_WAIT, statuses, NULL);
    else
        status = cmws_connection_send(connection, message->kind, message->data, message->length, 0);
    if (status != CMWS_STATUS_CLOSED)
        check(status, "send");
}

static void echo(cmws_handle_t connection)
{
    cmws_message_t messages[BATCH];
    size_t count;
    do {
        if (cmws_connection_receive(connection, messages, sizeof messages[0], BATCH, &count) !=
            CMWS_STATUS_OK)
            return;
        for (size_t i = 0; i < count; i++)
            send_one(connection, &messages[i]);
        cmws_message_release(messages, sizeof messages[0], count);
    } while (count == BATCH);
}

static void closed(cmws_handle_t connection)
{
    for (size_t i = 0; broadcast && i < all_count; i++)
        if (all[i] == connection)
            all[i--] = all[--all_count];
    cmws_connection_free(connection);
}

static void set(cmws_options_t *options, const char *name, double value)
{
    check(cmws_options_set(options, name, strlen(name), value), name);
}

static void set_text(cmws_options_t *options, const char *name, const char *value)
{
    check(cmws_options_set_text(options, name, strlen(name), value, strlen(value)), name);
}

int main(int argc, char **argv)
{
    static cmws_event_t events[EVENTS];
    cmws_options_t options;
    cmws_address_t address;
    cmws_handle_t mailbox, listener;

    check(cmws_options_init(sizeof options, &options), "options");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--broadcast") == 0) {
            broadcast = true;
        } else if (strcmp(argv[i], "--compress") == 0) {
            set(&options, "compression", 1);
        } else if (strcmp(argv[i], "--tls") == 0 && i + 2 < argc) {
            set_text(&options, "certificate_file", argv[++i]);
            set_text(&options, "key_file", argv[++i]);
        } else {
            fprintf(stderr, "usage: echo [--tls CERTIFICATE KEY] [--compress] [--broadcast]\n");
            return 2;
        }
    }
    check(cmws_mailbox_new(&mailbox), "mailbox");
    check(cmws_mailbox_listen(mailbox, "127.0.0.1", 9, 0, &options, &listener), "listen");
    check(cmws_listener_address(listener, sizeof address, &address), "address");
    printf("LISTENING %" PRIu16 "\n", address.port);
    fflush(stdout);

    for (;;) {
        size_t count;
        check(cmws_mailbox_poll(mailbox, -1, events, sizeof events[0], EVENTS, &count), "poll");
        for (size_t i = 0; i < count; i++) {
            switch (events[i].kind) {
            case CMWS_EVENT_ACCEPTED:
                accept_all(events[i].handle);
                break;
            case CMWS_EVENT_READABLE:
                echo(events[i].handle);
                break;
            case CMWS_EVENT_CLOSED:
                closed(events[i].handle);
                break;
            }
        }
    }
}
