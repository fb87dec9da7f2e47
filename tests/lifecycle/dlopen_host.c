/* A host that loads the library by hand, uses it, unloads it, and returns from main in traffic.
 *
 *     dlopen_host LIBRARY [unload]
 */
#define _GNU_SOURCE

#include <coromega_ws.h>

#include <dirent.h>
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUNCTIONS(X)                                                                               \
    X(cmws_mailbox_new)                                                                            \
    X(cmws_mailbox_listen)                                                                         \
    X(cmws_mailbox_connect)                                                                        \
    X(cmws_mailbox_poll)                                                                           \
    X(cmws_listener_address)                                                                       \
    X(cmws_listener_accept)                                                                        \
    X(cmws_connection_send)                                                                        \
    X(cmws_connection_receive)                                                                     \
    X(cmws_message_release)

static struct {
#define DECLARE(name) __typeof__(&name) name;
    FUNCTIONS(DECLARE)
} ws;

static cmws_handle_t mailbox, server, client;

static void fail(const char *what)
{
    fprintf(stderr, "dlopen_host: %s\n", what);
    exit(1);
}

static void check(int fine, const char *what)
{
    if (!fine)
        fail(what);
}

static int count_threads(void)
{
    DIR *directory = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;
    check(directory != NULL, "/proc/self/task");
    while ((entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void *send_for_ever(void *connection)
{
    for (;;)
        ws.cmws_connection_send(*(cmws_handle_t *)connection, CMWS_MESSAGE_TEXT,
                                (const uint8_t *)"traffic", 7, 0);
    return NULL;
}

static void open_pair(void)
{
    cmws_handle_t listener;
    cmws_address_t bound;
    char address[64];
    int open = 0;
    check(ws.cmws_mailbox_new(&mailbox) == CMWS_STATUS_OK, "mailbox");
    check(ws.cmws_mailbox_listen(mailbox, "127.0.0.1", 9, 0, NULL, &listener) == CMWS_STATUS_OK,
          "listen");
    check(ws.cmws_listener_address(listener, sizeof bound, &bound) == CMWS_STATUS_OK, "address");
    snprintf(address, sizeof address, "ws://127.0.0.1:%u", (unsigned)bound.port);
    check(ws.cmws_mailbox_connect(mailbox, address, strlen(address), NULL, 0, NULL, &client) ==
              CMWS_STATUS_OK,
          "connect");
    while (!open || server == 0) {
        cmws_event_t event;
        size_t count = 0;
        check(ws.cmws_mailbox_poll(mailbox, 30000, &event, sizeof event, 1, &count) ==
                      CMWS_STATUS_OK &&
                  count == 1,
              "poll");
        if (event.kind == CMWS_EVENT_OPEN)
            open = 1;
        if (event.kind == CMWS_EVENT_ACCEPTED)
            check(ws.cmws_listener_accept(listener, &server, 1, &count) == CMWS_STATUS_OK,
                  "accept");
    }
}

int main(int argc, char **argv)
{
    void *library;
    struct sigaction before[32], after;
    pthread_t threads[2];
    check(argc >= 2, "usage: dlopen_host LIBRARY [unload]");
    for (int i = 1; i < 32; i++)
        sigaction(i, NULL, &before[i]);
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        fail(dlerror());
    check(count_threads() == 1, "loading started a thread");
#define FIND(name) *(void **)&ws.name = dlsym(library, #name);
    FUNCTIONS(FIND)

    open_pair();
    check(count_threads() == 2, "there is not exactly one runtime thread");
    for (int i = 1; i < 32; i++) {
        sigaction(i, NULL, &after);
        check(after.sa_handler == before[i].sa_handler, "a signal handler was changed");
    }
    check(pthread_create(&threads[0], NULL, send_for_ever, &client) == 0, "thread");
    check(pthread_create(&threads[1], NULL, send_for_ever, &server) == 0, "thread");
    for (int received = 0; received < 1000;) {
        cmws_message_t messages[64];
        size_t count;
        if (ws.cmws_connection_receive(server, messages, sizeof messages[0], 64, &count) !=
            CMWS_STATUS_OK)
            fail("receive");
        ws.cmws_message_release(messages, sizeof messages[0], count);
        received += (int)count;
        if (count == 0)
            poll(NULL, 0, 1);
    }
    if (argc > 2) {
        dlclose(library);
        poll(NULL, 0, 100); /* the runtime and two senders go on meanwhile */
    }
    alarm(10);
    return 0;
}
