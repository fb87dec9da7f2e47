/* A fork in C. The child makes a connection of its own to a listener of its own, and ends. */
#include "c_host.h"

#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000 };

static int talk(cmws_handle_t parents)
{
    cmws_handle_t mailbox, listener, client, server = 0;
    cmws_address_t address;
    cmws_event_t event;
    char url[64];
    size_t count;
    cmws_status_t status = cmws_connection_send(parents, CMWS_MESSAGE_TEXT, NULL, 0, 0);
    /* It may have ended just before the fork. */
    if (status != CMWS_STATUS_FORKED && status != CMWS_STATUS_INVALID_HANDLE)
        return 2;
    if (cmws_mailbox_new(&mailbox) != CMWS_STATUS_OK ||
        cmws_mailbox_listen(mailbox, "127.0.0.1", 9, 0, NULL, &listener) != CMWS_STATUS_OK ||
        cmws_listener_address(listener, sizeof address, &address) != CMWS_STATUS_OK)
        return 3;
    snprintf(url, sizeof url, "ws://127.0.0.1:%u", (unsigned)address.port);
    if (cmws_mailbox_connect(mailbox, url, strlen(url), NULL, 0, NULL, &client) != CMWS_STATUS_OK)
        return 4;
    for (;;) {
        cmws_message_t message;
        if (cmws_mailbox_poll(mailbox, PATIENCE_MS, &event, sizeof event, 1, &count) != CMWS_STATUS_OK || count == 0)
            return 5;
        if (event.kind == CMWS_EVENT_OPEN)
            cmws_connection_send(client, CMWS_MESSAGE_TEXT, (const uint8_t *)"child", 5, 0);
        if (event.kind == CMWS_EVENT_ACCEPTED)
            cmws_listener_accept(listener, &server, 1, &count);
        if (event.kind == CMWS_EVENT_READABLE &&
            cmws_connection_receive(server, &message, sizeof message, 1, &count) == CMWS_STATUS_OK && count == 1) {
            int same = message.length == 5 && memcmp(message.data, "child", 5) == 0;
            cmws_message_release(&message, sizeof message, 1);
            return same && cmws_mailbox_close(mailbox) == CMWS_STATUS_OK ? 0 : 6;
        }
    }
}

/* Returns the child's number. The connection is one of the parent's. */
int chaos_fork(cmws_handle_t parents)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(talk(parents));
    return pid;
}
