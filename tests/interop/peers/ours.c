/* Our side of the interop tests in C; what it does is told in test_peers.py. */
#include <coromega_ws.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 64, BATCH = 16 };

static void check(cmws_status_t status, const char *what)
{
    if (status == CMWS_STATUS_OK)
        return;
    printf("FAILED %s: %s\n", what, cmws_last_error_text());
    exit(1);
}

/* There is always room: write_limit is as large as it can be. A connection that closes meanwhile
 * takes nothing, which is no error here. */
static void send_message(cmws_handle_t connection, uint32_t kind, const void *data, size_t length)
{
    cmws_status_t status = cmws_connection_send(connection, kind, data, length, 0);
    if (status != CMWS_STATUS_CLOSED)
        check(status, "send");
}

static void answer_request(cmws_handle_t connection)
{
    cmws_connection_info_t info;
    char text[512];
    int length;
    check(cmws_connection_info(connection, sizeof info, &info), "info");
    length = snprintf(text, sizeof text, "%.*s %.*s", (int)info.path_length, info.path,
                      (int)info.subprotocol_length, info.subprotocol);
    send_message(connection, CMWS_MESSAGE_TEXT, text, (size_t)length);
}

static void answer(cmws_handle_t connection, const cmws_message_t *message)
{
    char text[256] = "", *rest;
    if (message->kind == CMWS_MESSAGE_TEXT && message->length < sizeof text)
        memcpy(text, message->data, message->length);
    if (strncmp(text, "!close ", 7) == 0) {
        unsigned long code = strtoul(text + 7, &rest, 10);
        rest++; /* the blank */
        check(cmws_connection_close(connection, (uint16_t)code, rest, strlen(rest)), "close");
    } else if (strncmp(text, "!burst ", 7) == 0) {
        long count = strtol(text + 7, NULL, 10);
        for (long number = 0; number < count; number++) {
            int length = snprintf(text, sizeof text, "%ld", number);
            send_message(connection, CMWS_MESSAGE_TEXT, text, (size_t)length);
        }
    } else if (strcmp(text, "!request") == 0) {
        answer_request(connection);
    } else {
        send_message(connection, message->kind, message->data, message->length);
    }
}

static void answer_all(cmws_handle_t connection)
{
    cmws_message_t messages[BATCH];
    size_t count;
    do {
        if (cmws_connection_receive(connection, messages, sizeof messages[0], BATCH, &count) !=
            CMWS_STATUS_OK)
            return;
        for (size_t i = 0; i < count; i++)
            answer(connection, &messages[i]);
        cmws_message_release(messages, sizeof messages[0], count);
    } while (count > 0);
}

/* Takes all clients that wait. */
static void accept_all(cmws_handle_t listener)
{
    cmws_handle_t connections[16];
    size_t count;
    do {
        check(cmws_listener_accept(listener, connections, 16, &count), "accept");
    } while (count > 0);
}

static void set_options(char **words, cmws_options_t *options)
{
    check(cmws_options_init(sizeof *options, options), "options");
    for (; words[0] != NULL && words[1] != NULL; words += 2) {
        char name[64], *end;
        double number;
        size_t length = strlen(words[0] + 2);
        if (length >= sizeof name)
            exit(2);
        for (size_t i = 0; i <= length; i++)
            name[i] = words[0][i + 2] == '-' ? '_' : words[0][i + 2];
        number = strtod(words[1], &end);
        if (*end == '\0')
            check(cmws_options_set(options, name, length, number), words[0]);
        else
            check(cmws_options_set_text(options, name, length, words[1], strlen(words[1])), words[0]);
    }
    options->write_limit = 1 << 30;
}

static cmws_handle_t serve(cmws_handle_t mailbox, const cmws_options_t *options)
{
    cmws_handle_t listener;
    cmws_address_t address;
    check(cmws_mailbox_listen(mailbox, "127.0.0.1", 9, 0, options, &listener), "listen");
    check(cmws_listener_address(listener, sizeof address, &address), "address");
    printf("LISTENING %" PRIu16 "\n", address.port);
    return listener;
}

static void connect_to(cmws_handle_t mailbox, const char *url, const char *protocols,
                       const cmws_options_t *options)
{
    cmws_header_t header = {"Sec-WebSocket-Protocol", 22, protocols, strlen(protocols)};
    cmws_handle_t connection;
    check(cmws_mailbox_connect(mailbox, url, strlen(url), &header, 1, options, &connection), "connect");
}

int main(int argc, char **argv)
{
    int serving = argc >= 2 && strcmp(argv[1], "serve") == 0, opened = 0, ended = 0;
    cmws_handle_t mailbox, listener = 0;
    cmws_options_t options;
    cmws_event_t events[EVENTS];

    if (!serving && argc < 4)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    set_options(argv + (serving ? 2 : 4), &options);
    check(cmws_mailbox_new(&mailbox), "mailbox");
    if (serving)
        listener = serve(mailbox, &options);
    else
        connect_to(mailbox, argv[2], argv[3], &options);

    while (serving || !ended) {
        size_t count;
        check(cmws_mailbox_poll(mailbox, -1, events, sizeof events[0], EVENTS, &count), "poll");
        for (size_t i = 0; i < count; i++) {
            cmws_event_t *event = &events[i];
            if (event->kind == CMWS_EVENT_OPEN) {
                opened = 1;
            } else if (event->kind == CMWS_EVENT_ACCEPTED) {
                accept_all(listener);
            } else if (event->kind == CMWS_EVENT_READABLE) {
                answer_all(event->handle);
            } else if (event->kind == CMWS_EVENT_CLOSED) {
                answer_all(event->handle);
                printf("%s %d %s\n", opened || serving ? "CLOSED" : "FAILED",
                       event->close_code, event->text);
                cmws_connection_free(event->handle);
                ended = 1;
            }
        }
    }
    cmws_mailbox_close(mailbox);
    cmws_options_clear(&options);
    return 0;
}
