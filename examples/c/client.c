/* A client: sends each argument as a text message, prints one answer for each, and closes.
 *
 *     client ws://127.0.0.1:1042/ hello "hello again"
 *
 * Build: cc client.c $(pkg-config --cflags --libs coromega_ws)
 */
#include <coromega_ws.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 16, BATCH = 16 };

static cmws_handle_t connection;
static char **to_send;
static int unsent, unanswered, closing, ended;

static void check(cmws_status_t status, const char *what)
{
    if (status == CMWS_STATUS_OK)
        return;
    fprintf(stderr, "client: %s: %s\n", what, cmws_last_error_text());
    exit(1);
}

static void send_all(void)
{
    while (unsent > 0) {
        const char *text = *to_send;
        cmws_status_t status = cmws_connection_send(
            connection, CMWS_MESSAGE_TEXT, (const uint8_t *)text, strlen(text), CMWS_SEND_NOTIFY);
        if (status == CMWS_STATUS_WOULD_BLOCK)
            return; /* a WRITABLE event comes when there is room */
        check(status, "send");
        to_send++;
        unsent--;
    }
}

static void receive_all(void)
{
    cmws_message_t messages[BATCH];
    size_t count;
    do {
        if (cmws_connection_receive(connection, messages, sizeof messages[0], BATCH, &count) !=
            CMWS_STATUS_OK)
            return;
        for (size_t i = 0; i < count; i++, unanswered--) {
            if (messages[i].kind == CMWS_MESSAGE_TEXT)
                printf("%.*s\n", (int)messages[i].length, (const char *)messages[i].data);
            else
                printf("(%zu bytes)\n", messages[i].length);
        }
        cmws_message_release(messages, sizeof messages[0], count);
    } while (count == BATCH);
}

static void dispatch(const cmws_event_t *event)
{
    switch (event->kind) {
    case CMWS_EVENT_OPEN:
    case CMWS_EVENT_WRITABLE:
        send_all();
        break;
    case CMWS_EVENT_READABLE:
        receive_all();
        break;
    case CMWS_EVENT_CLOSED:
        receive_all();
        if (event->status != CMWS_STATUS_OK) {
            fprintf(stderr, "client: %s\n",
                    event->text_length ? event->text : cmws_status_text(event->status));
            exit(1);
        }
        if (unanswered > 0) {
            fprintf(stderr, "client: the server closed: %d %s\n", event->close_code, event->text);
            exit(1);
        }
        ended = 1;
        break;
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    cmws_handle_t mailbox;
    cmws_event_t events[EVENTS];

    if (argc < 2) {
        fprintf(stderr, "usage: client ADDRESS [MESSAGE]...\n");
        return 2;
    }
    to_send = argv + 2;
    unsent = unanswered = argc - 2;

    check(cmws_mailbox_new(&mailbox), "mailbox");
    check(cmws_mailbox_connect(mailbox, argv[1], strlen(argv[1]), NULL, 0, NULL, &connection),
          "connect");
    while (!ended) {
        size_t count;
        check(cmws_mailbox_poll(mailbox, -1, events, sizeof events[0], EVENTS, &count), "poll");
        for (size_t i = 0; i < count; i++)
            dispatch(&events[i]);
        if (!closing && !ended && unsent == 0 && unanswered == 0) {
            cmws_connection_info_t info;
            check(cmws_connection_info(connection, sizeof info, &info), "info");
            if (info.state == CMWS_STATE_OPEN) {
                closing = 1;
                check(cmws_connection_close(connection, 1000, NULL, 0), "close");
            }
        }
    }
    cmws_connection_free(connection);
    cmws_mailbox_close(mailbox);
    return 0;
}
