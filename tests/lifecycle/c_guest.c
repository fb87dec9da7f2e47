/* A part of a process that uses the library from C: an echo server in a thread of its own, and a
 * client that asks one question. */
#include <coromega_ws.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static cmws_handle_t server_mailbox;

static void *serve(void *unused)
{
    for (;;) {
        cmws_event_t events[16];
        size_t count = 0;
        if (cmws_mailbox_poll(server_mailbox, -1, events, sizeof events[0], 16, &count) !=
            CMWS_STATUS_OK)
            return unused;
        for (size_t i = 0; i < count; i++) {
            cmws_handle_t connection;
            cmws_message_t message;
            size_t n;
            if (events[i].kind == CMWS_EVENT_ACCEPTED)
                while (cmws_listener_accept(events[i].handle, &connection, 1, &n) ==
                           CMWS_STATUS_OK &&
                       n == 1)
                    ;
            else if (events[i].kind == CMWS_EVENT_READABLE)
                while (cmws_connection_receive(events[i].handle, &message, sizeof message, 1, &n) ==
                           CMWS_STATUS_OK &&
                       n == 1) {
                    cmws_connection_send(events[i].handle, message.kind, message.data,
                                         message.length, 0);
                    cmws_message_release(&message, sizeof message, 1);
                }
        }
    }
}

/* Starts the server; returns its port, or 0. */
int c_serve(void)
{
    cmws_handle_t listener;
    cmws_address_t address;
    pthread_t thread;
    if (cmws_mailbox_new(&server_mailbox) != CMWS_STATUS_OK ||
        cmws_mailbox_listen(server_mailbox, "127.0.0.1", 9, 0, NULL, &listener) !=
            CMWS_STATUS_OK ||
        cmws_listener_address(listener, sizeof address, &address) != CMWS_STATUS_OK ||
        pthread_create(&thread, NULL, serve, NULL) != 0)
        return 0;
    return address.port;
}

/* Sends a text and waits for the answer; returns its length, or -1. */
int c_ask(const char *url, const char *text, char *answer, int capacity)
{
    cmws_handle_t mailbox, connection;
    cmws_event_t event;
    cmws_message_t message;
    size_t count;
    int length = -1;
    if (cmws_mailbox_new(&mailbox) != CMWS_STATUS_OK ||
        cmws_mailbox_connect(mailbox, url, strlen(url), NULL, 0, NULL, &connection) !=
            CMWS_STATUS_OK)
        return -1;
    while (length < 0 && cmws_mailbox_poll(mailbox, 30000, &event, sizeof event, 1, &count) ==
                             CMWS_STATUS_OK &&
           count == 1) {
        if (event.kind == CMWS_EVENT_OPEN)
            cmws_connection_send(connection, CMWS_MESSAGE_TEXT, (const uint8_t *)text, strlen(text),
                                 0);
        else if (event.kind == CMWS_EVENT_CLOSED)
            break;
        else if (event.kind == CMWS_EVENT_READABLE &&
                 cmws_connection_receive(connection, &message, sizeof message, 1, &count) ==
                     CMWS_STATUS_OK &&
                 count == 1) {
            length = message.length < (size_t)capacity ? (int)message.length : capacity;
            memcpy(answer, message.data, (size_t)length);
            cmws_message_release(&message, sizeof message, 1);
        }
    }
    cmws_mailbox_close(mailbox);
    return length;
}

/* Sends on a connection that another language made. */
int c_send(cmws_handle_t connection, const char *text)
{
    return cmws_connection_send(connection, CMWS_MESSAGE_TEXT, (const uint8_t *)text, strlen(text),
                                0);
}

/* Takes a connection over, receives so many numbers from `first` on, and returns the handle that it
 * has now; 0 if anything went wrong. Its mailbox stays. */
cmws_handle_t c_relay(cmws_handle_t connection, int first, int count)
{
    cmws_handle_t mailbox, moved;
    if (cmws_mailbox_new(&mailbox) != CMWS_STATUS_OK ||
        cmws_connection_move(connection, mailbox, &moved) != CMWS_STATUS_OK)
        return 0;
    for (int expected = first; expected < first + count;) {
        cmws_event_t event;
        cmws_message_t message;
        char text[16] = "";
        size_t got;
        if (cmws_connection_receive(moved, &message, sizeof message, 1, &got) != CMWS_STATUS_OK)
            return 0;
        if (got == 0) {
            if (cmws_mailbox_poll(mailbox, 30000, &event, sizeof event, 1, &got) != CMWS_STATUS_OK || got == 0)
                return 0;
            continue;
        }
        if (message.length < sizeof text)
            memcpy(text, message.data, message.length);
        cmws_message_release(&message, sizeof message, 1);
        if (atoi(text) != expected++)
            return 0;
    }
    return moved;
}
