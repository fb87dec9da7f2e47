/* The client that is tested: plays every case of the Autobahn TestSuite's fuzzing server.
 *
 *     client ws://127.0.0.1:9001 AGENT [--OPTION NUMBER]...
 *
 * It asks how many cases there are, echoes whatever comes in each of them until the server closes,
 * and asks for the reports. The options are the library's, with dashes for their underscores.
 */
#include <coromega_ws.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The suite gives a single case eight minutes at most. */
enum { EVENTS = 16, PATIENCE_MS = 600000 };

static cmws_handle_t mailbox;
static cmws_options_t options;

static void check(cmws_status_t status, const char *what)
{
    if (status == CMWS_STATUS_OK)
        return;
    fprintf(stderr, "client: %s: %s\n", what, cmws_last_error_text());
    exit(1);
}

/* Sends back what is in the inbox. Where the connection has no room, one message waits in `held`. */
static void echo(cmws_handle_t connection, cmws_message_t *held)
{
    for (;;) {
        size_t count = 1;
        if (held->data == NULL &&
            cmws_connection_receive(connection, held, sizeof *held, 1, &count) != CMWS_STATUS_OK)
            return;
        if (count == 0)
            return;
        if (cmws_connection_send(connection, held->kind, held->data, held->length,
                                 CMWS_SEND_NOTIFY) == CMWS_STATUS_WOULD_BLOCK)
            return;
        /* Sent; or the connection is closing, and nobody wants it any more. */
        cmws_message_release(held, sizeof *held, 1);
    }
}

/* Keeps the first message as text, for the number of cases. */
static void keep(cmws_handle_t connection, char *text, size_t size)
{
    cmws_message_t message;
    size_t count;
    while (cmws_connection_receive(connection, &message, sizeof message, 1, &count) ==
               CMWS_STATUS_OK && count == 1) {
        snprintf(text, size, "%.*s", (int)message.length, (const char *)message.data);
        cmws_message_release(&message, sizeof message, 1);
    }
}

/* Connects, and echoes until the server closes; or, given room for a text, keeps what comes. */
static void visit(const char *address, char *text, size_t size)
{
    cmws_handle_t connection;
    cmws_message_t held = {0};
    int opened = 0, ended = 0;

    check(cmws_mailbox_connect(mailbox, address, strlen(address), NULL, 0, &options, &connection),
          address);
    while (!ended) {
        cmws_event_t events[EVENTS];
        size_t count;
        check(cmws_mailbox_poll(mailbox, PATIENCE_MS, events, sizeof events[0], EVENTS, &count),
              "poll");
        if (count == 0) {
            fprintf(stderr, "client: %s: nothing has come for ten minutes\n", address);
            exit(1);
        }
        for (size_t i = 0; i < count; i++) {
            if (text != NULL)
                keep(connection, text, size);
            else
                echo(connection, &held);
            opened |= events[i].kind == CMWS_EVENT_OPEN;
            ended |= events[i].kind == CMWS_EVENT_CLOSED;
            if (ended && !opened)
                fprintf(stderr, "client: %s: %s\n", address, events[i].text);
        }
    }
    cmws_message_release(&held, sizeof held, 1);
    cmws_connection_free(connection);
}

static void read_options(char **arguments)
{
    check(cmws_options_init(sizeof options, &options), "options");
    for (; arguments[0] != NULL && arguments[1] != NULL; arguments += 2) {
        char name[64];
        snprintf(name, sizeof name, "%s", arguments[0] + strspn(arguments[0], "-"));
        for (char *c = name; *c != '\0'; c++)
            if (*c == '-')
                *c = '_';
        check(cmws_options_set(&options, name, strlen(name), strtod(arguments[1], NULL)), name);
    }
}

int main(int argc, char **argv)
{
    char address[512], number[32] = "";
    long cases;

    if (argc < 3 || argc % 2 == 0) {
        fprintf(stderr, "usage: client ADDRESS AGENT [--OPTION NUMBER]...\n");
        return 2;
    }
    read_options(argv + 3);
    check(cmws_mailbox_new(&mailbox), "mailbox");
    snprintf(address, sizeof address, "%s/getCaseCount", argv[1]);
    visit(address, number, sizeof number);
    cases = strtol(number, NULL, 10);
    if (cases < 1) {
        fprintf(stderr, "client: %s/getCaseCount told no number\n", argv[1]);
        return 1;
    }
    for (long i = 1; i <= cases; i++) {
        snprintf(address, sizeof address, "%s/runCase?case=%ld&agent=%s", argv[1], i, argv[2]);
        visit(address, NULL, 0);
    }
    snprintf(address, sizeof address, "%s/updateReports?agent=%s", argv[1], argv[2]);
    visit(address, NULL, 0);
    check(cmws_mailbox_close(mailbox), "mailbox");
    return 0;
}
