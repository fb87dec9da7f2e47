/* The conversation of the users' document: a server and a client in one program.
 *
 * In Lua each side is a coroutine; in C each is a small state machine that the events move on.
 * It prints what the Lua script prints, line for line, and then ends.
 *
 * Build: cc dialogue.c $(pkg-config --cflags --libs coromega_ws)
 */
#define _POSIX_C_SOURCE 200809L

#include <coromega_ws.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EVENTS = 16, BATCH = 16, SECOND = 1000 };

static cmws_handle_t mailbox, listener, server, client;
static char address[64];
static const char the_end[] = "the dialogue is over";

/* What the client does next; a step ends by sleeping or by waiting for a message. */
static enum {
    CLIENT_CONNECT,
    CLIENT_FIRST_MESSAGE,
    CLIENT_SEND_2,
    CLIENT_SEND_3,
    CLIENT_RECEIVE_3,
    CLIENT_SEND_4,
    CLIENT_RECEIVE_4,
    CLIENT_CLOSED
} client_step = CLIENT_CONNECT;

static int server_got_first, listener_dead;

/* When the client's sleep ends, or 0 while it does not sleep. */
static int64_t sleeps_until;

static void check(cmws_status_t status, const char *what)
{
    if (status == CMWS_STATUS_OK)
        return;
    fprintf(stderr, "dialogue: %s: %s\n", what, cmws_last_error_text());
    exit(1);
}

static void say(cmws_handle_t connection, const char *format, ...)
{
    char text[256];
    int length;
    va_list arguments;
    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* These few bytes never reach write_limit, so WOULD_BLOCK is a failure here like any other. */
    check(cmws_connection_send(connection, CMWS_MESSAGE_TEXT, (const uint8_t *)text,
                               (size_t)length, 0),
          "send");
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_for(int64_t ms)
{
    sleeps_until = now_ms() + ms;
    check(cmws_mailbox_set_deadline(mailbox, ms), "deadline");
}

static void show(const char *what, const cmws_message_t *message)
{
    printf("%s\t%.*s\n", what, (int)message->length, (const char *)message->data);
    fflush(stdout);
}

static void server_received(const cmws_message_t *message)
{
    if (!server_got_first) {
        server_got_first = 1;
        show("websocket server received (first message): ", message);
        return;
    }
    show("websocket server received (not intercepted): ", message);
    say(server, "server echo: %.*s", (int)message->length, (const char *)message->data);
}

static void client_received(const cmws_message_t *message)
{
    switch (client_step) {
    case CLIENT_FIRST_MESSAGE:
        show("websocket client received (first message): ", message);
        say(client, "client hello 1");
        client_step = CLIENT_SEND_2;
        sleep_for(SECOND);
        break;
    case CLIENT_RECEIVE_3:
        show("websocket client received: ", message);
        client_step = CLIENT_SEND_4;
        sleep_for(SECOND);
        break;
    case CLIENT_RECEIVE_4:
        show("websocket client received: ", message);
        client_step = CLIENT_CLOSED;
        check(cmws_connection_close(client, 1000, NULL, 0), "close");
        break;
    default:
        show("websocket client received (not intercepted): ", message);
        break;
    }
}

static void client_slept(void)
{
    switch (client_step) {
    case CLIENT_CONNECT:
        check(cmws_mailbox_connect(mailbox, address, strlen(address), NULL, 0, NULL, &client),
              "connect");
        client_step = CLIENT_FIRST_MESSAGE;
        break;
    case CLIENT_SEND_2:
        say(client, "client hello 2");
        client_step = CLIENT_SEND_3;
        sleep_for(SECOND);
        break;
    case CLIENT_SEND_3:
        say(client, "client hello 3");
        client_step = CLIENT_RECEIVE_3;
        break;
    case CLIENT_SEND_4:
        say(client, "client hello 4");
        client_step = CLIENT_RECEIVE_4;
        break;
    default:
        break;
    }
}

/* A poll can return early, after a signal say: then the rest of the sleep is asked for again. */
static void wake_client(void)
{
    int64_t left = sleeps_until - now_ms();
    if (sleeps_until == 0)
        return;
    if (left > 0) {
        check(cmws_mailbox_set_deadline(mailbox, left), "deadline");
        return;
    }
    sleeps_until = 0;
    client_slept();
}

static void receive_all(cmws_handle_t connection)
{
    cmws_message_t messages[BATCH];
    size_t count;
    do {
        if (cmws_connection_receive(connection, messages, sizeof messages[0], BATCH, &count) !=
            CMWS_STATUS_OK)
            return;
        for (size_t i = 0; i < count; i++) {
            if (connection == server)
                server_received(&messages[i]);
            else
                client_received(&messages[i]);
        }
        cmws_message_release(messages, sizeof messages[0], count);
    } while (count == BATCH);
}

static void dispatch(const cmws_event_t *event)
{
    size_t count;
    switch (event->kind) {
    case CMWS_EVENT_ACCEPTED:
        check(cmws_listener_accept(listener, &server, 1, &count), "accept");
        if (count == 1)
            say(server, "server hello");
        break;
    case CMWS_EVENT_OPEN:
        say(client, "client hello");
        break;
    case CMWS_EVENT_READABLE:
        receive_all(event->handle);
        break;
    case CMWS_EVENT_CLOSED:
        if (event->handle == client) {
            if (client_step != CLIENT_CLOSED) {
                fprintf(stderr, "dialogue: %s\n", event->text);
                exit(1);
            }
            check(cmws_listener_close(listener, the_end, strlen(the_end)), "close");
        }
        cmws_connection_free(event->handle);
        break;
    case CMWS_EVENT_DEAD:
        if (strcmp(event->text, the_end) != 0)
            printf("websocket server dead, reason: \t%s\n", event->text);
        listener_dead = 1;
        break;
    default:
        break;
    }
}

int main(void)
{
    cmws_event_t events[EVENTS];
    cmws_address_t bound;
    const char *host = "127.0.0.1";

    check(cmws_mailbox_new(&mailbox), "mailbox");
    check(cmws_mailbox_listen(mailbox, host, strlen(host), 0, NULL, &listener), "listen");
    check(cmws_listener_address(listener, sizeof bound, &bound), "address");
    snprintf(address, sizeof address, "ws://127.0.0.1:%d", bound.port);

    sleep_for(SECOND);
    while (!listener_dead) {
        size_t count;
        check(cmws_mailbox_poll(mailbox, -1, events, sizeof events[0], EVENTS, &count), "poll");
        for (size_t i = 0; i < count; i++)
            dispatch(&events[i]);
        wake_client();
    }
    check(cmws_mailbox_close(mailbox), "mailbox");
    return 0;
}
