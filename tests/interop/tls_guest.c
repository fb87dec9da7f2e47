/* Either side of a connection with TLS, for the tests to steer.
 *
 *     tls_guest listen [option=value]...
 *
 * echoes. Prints "LISTENING <port>", and for the word "reload" on standard input "RELOADED" or
 * "FAILED <text>". With compute=MS it computes for so long behind the echoes of a batch, and then
 * prints "COMPUTED".
 *
 *     tls_guest connect URL [option=value]...
 *
 * Prints "OPEN"; sends count=N messages of size=BYTES, checks that each comes back, prints "ECHOED"
 * and closes; prints "CLOSED <status's name> <code> <text>". An option may be given several times
 * where it is a list. With never_take=1 it takes nothing and waits for the end of standard input.
 */
#define _POSIX_C_SOURCE 200809L

#include <coromega_ws.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64, PATIENCE_MS = 60000 };

static long count = 1, size = 5, compute, never_take;
static unsigned char *payload;

static void check(cmws_status_t status, const char *what)
{
    if (status != CMWS_STATUS_OK) {
        printf("FAILED %s: %s\n", what, cmws_last_error_text());
        exit(1);
    }
}

static void read_option(cmws_options_t *options, char *text)
{
    char *value = strchr(text, '='), *end;
    double number;
    if (value == NULL)
        exit(2);
    *value++ = '\0';
    number = strtod(value, &end);
    if (strcmp(text, "count") == 0)
        count = (long)number;
    else if (strcmp(text, "size") == 0)
        size = (long)number;
    else if (strcmp(text, "compute") == 0)
        compute = (long)number;
    else if (strcmp(text, "never_take") == 0)
        never_take = (long)number;
    else if (*end == '\0' && strcmp(text, "min_tls_version") != 0 && strcmp(text, "server_name") != 0)
        check(cmws_options_set(options, text, strlen(text), number), "option");
    else
        check(cmws_options_set_text(options, text, strlen(text), value, strlen(value)), "option");
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Every byte of message `index` follows from its place. */
static void make(long index)
{
    long i;
    for (i = 0; i < size; i++)
        payload[i] = (unsigned char)(index * 31 + i * 7 + (i >> 8));
}

static void echo(cmws_handle_t connection)
{
    cmws_message_t message;
    size_t got;
    int any = 0;
    while (cmws_connection_receive(connection, &message, sizeof message, 1, &got) ==
               CMWS_STATUS_OK && got == 1) {
        cmws_status_t status;
        while ((status = cmws_connection_send(connection, message.kind, message.data,
                                              message.length, 0)) == CMWS_STATUS_WOULD_BLOCK) {
            struct timespec pause = {0, 200000};
            nanosleep(&pause, NULL); /* the library's thread makes room */
        }
        cmws_message_release(&message, sizeof message, 1);
        any = 1;
        if (status != CMWS_STATUS_OK)
            return;
    }
    if (any && compute > 0) {
        double end = now() + (double)compute;
        while (now() < end)
            ;
        printf("COMPUTED\n");
    }
}

static void listen_and_echo(cmws_handle_t mailbox, const cmws_options_t *options)
{
    cmws_handle_t listener;
    cmws_address_t address;
    struct pollfd fds[2] = {{0, POLLIN, 0}, {0, POLLIN, 0}};
    check(cmws_mailbox_listen(mailbox, "127.0.0.1", 9, 0, options, &listener), "listen");
    check(cmws_listener_address(listener, sizeof address, &address), "address");
    check(cmws_mailbox_fd(mailbox, &fds[1].fd), "fd");
    printf("LISTENING %u\n", address.port);
    for (;;) {
        cmws_event_t events[EVENTS];
        size_t got, i;
        check(cmws_mailbox_poll(mailbox, 0, events, sizeof events[0], EVENTS, &got), "poll");
        for (i = 0; i < got; i++) {
            cmws_handle_t client;
            size_t taken;
            if (events[i].kind == CMWS_EVENT_READABLE && !never_take)
                echo(events[i].handle);
            else if (events[i].kind == CMWS_EVENT_CLOSED)
                cmws_connection_free(events[i].handle);
            else if (events[i].kind == CMWS_EVENT_ACCEPTED)
                while (cmws_listener_accept(listener, &client, 1, &taken) == CMWS_STATUS_OK &&
                       taken == 1)
                    ;
        }
        if (got > 0)
            continue;
        poll(fds, 2, -1);
        if (fds[0].revents != 0) {
            char word[64];
            ssize_t length = read(0, word, sizeof word);
            if (length <= 0)
                return;
            if (cmws_listener_reload(listener) == CMWS_STATUS_OK)
                printf("RELOADED\n");
            else
                printf("FAILED %s\n", cmws_last_error_text());
        }
    }
}

static void connect_and_check(cmws_handle_t mailbox, const char *url, const cmws_options_t *options)
{
    cmws_handle_t connection;
    long sent = 0, received = 0;
    check(cmws_mailbox_connect(mailbox, url, strlen(url), NULL, 0, options, &connection), "connect");
    for (;;) {
        cmws_event_t event;
        cmws_message_t message;
        size_t got;
        check(cmws_mailbox_poll(mailbox, PATIENCE_MS, &event, sizeof event, 1, &got), "poll");
        if (got == 0) {
            printf("FAILED nothing happens: %ld sent, %ld received\n", sent, received);
            return;
        }
        if (event.kind == CMWS_EVENT_CLOSED) {
            printf("CLOSED %s %u %s\n", cmws_status_name(event.status), event.close_code, event.text);
            cmws_connection_free(connection);
            return;
        }
        if (event.kind == CMWS_EVENT_OPEN)
            printf("OPEN\n");
        if (never_take) {
            char byte;
            while (read(0, &byte, 1) > 0)
                ;
            never_take = 0;
        }
        while (cmws_connection_receive(connection, &message, sizeof message, 1, &got) ==
                   CMWS_STATUS_OK && got == 1) {
            make(received);
            if (message.length != (size_t)size || memcmp(message.data, payload, (size_t)size) != 0) {
                printf("FAILED message %ld is another\n", received);
                return;
            }
            cmws_message_release(&message, sizeof message, 1);
            if (++received == count) {
                printf("ECHOED\n");
                check(cmws_connection_close(connection, 1000, "done", 4), "close");
            }
        }
        while (sent < count) {
            cmws_status_t status;
            make(sent);
            status = cmws_connection_send(connection, CMWS_MESSAGE_BINARY, payload, (size_t)size,
                                          CMWS_SEND_NOTIFY);
            if (status != CMWS_STATUS_OK)
                break; /* WRITABLE follows, or CLOSED */
            sent++;
        }
        if (count == 0) {
            check(cmws_connection_close(connection, 1000, "done", 4), "close");
            count = -1;
        }
    }
}

int main(int argc, char **argv)
{
    cmws_options_t options;
    cmws_handle_t mailbox;
    int i, first = argc > 1 && strcmp(argv[1], "connect") == 0 ? 3 : 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < first)
        return 2;
    check(cmws_options_init(sizeof options, &options), "options");
    for (i = first; i < argc; i++)
        read_option(&options, argv[i]);
    payload = malloc((size_t)size + 1);
    check(cmws_mailbox_new(&mailbox), "mailbox");
    if (first == 2)
        listen_and_echo(mailbox, &options);
    else
        connect_and_check(mailbox, argv[2], &options);
    cmws_mailbox_close(mailbox);
    cmws_options_clear(&options);
    free(payload);
    return 0;
}
