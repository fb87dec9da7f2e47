/* The client of the benchmark: messages go to an echo server and come back.
 *
 *     client --client URL --size N --connections C --depth D --seconds S --warmup W
 *
 * One line of JSON is printed: how many came back, and the CPU time of this process meanwhile.
 */
#define _POSIX_C_SOURCE 200809L
#include <coromega_ws.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EVENTS = 256, BATCH = 64 };

static const char *url = "";
static unsigned long size, connections, depth;
static double seconds, warmup;
static unsigned char *payload;
static uint64_t messages_back;

static void check(cmws_status_t status, const char *what)
{
    if (status != CMWS_STATUS_OK) {
        fprintf(stderr, "client: %s: %s\n", what, cmws_last_error_text());
        exit(1);
    }
}

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void send_one(cmws_handle_t connection)
{
    check(cmws_connection_send(connection, CMWS_MESSAGE_BINARY, payload, size, 0), "send");
}

static void receive_all(cmws_handle_t connection)
{
    cmws_message_t messages[BATCH];
    size_t count;
    do {
        check(cmws_connection_receive(connection, messages, sizeof messages[0], BATCH, &count),
              "receive");
        for (size_t i = 0; i < count; i++) {
            if (messages[i].length != size) {
                fprintf(stderr, "client: a message came back with another size\n");
                exit(1);
            }
            send_one(connection);
        }
        messages_back += count;
        cmws_message_release(messages, sizeof messages[0], count);
    } while (count == BATCH);
}

static void read_options(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--client") == 0)
            url = value;
        else if (strcmp(argv[i], "--size") == 0)
            size = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--connections") == 0)
            connections = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--depth") == 0)
            depth = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(value, NULL);
        else if (strcmp(argv[i], "--warmup") == 0)
            warmup = strtod(value, NULL);
    }
    if (*url == '\0' || connections == 0 || depth == 0 || seconds <= 0) {
        fprintf(stderr, "usage: client --client URL --size N --connections C --depth D "
                        "--seconds S --warmup W\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    static cmws_event_t events[EVENTS];
    cmws_handle_t mailbox;
    double begin, cpu = 0;
    int counts = 0; /* whether the warm-up is over */

    read_options(argc, argv);
    payload = calloc(size + 1, 1);
    if (payload == NULL)
        abort();
    check(cmws_mailbox_new(&mailbox), "mailbox");
    for (unsigned long i = 0; i < connections; i++) {
        cmws_handle_t connection;
        check(cmws_mailbox_connect(mailbox, url, strlen(url), NULL, 0, NULL, &connection), "connect");
    }
    begin = now(CLOCK_MONOTONIC);
    for (;;) {
        size_t count;
        double time;
        check(cmws_mailbox_poll(mailbox, 100, events, sizeof events[0], EVENTS, &count), "poll");
        for (size_t i = 0; i < count; i++) {
            switch (events[i].kind) {
            case CMWS_EVENT_OPEN:
                for (unsigned long n = 0; n < depth; n++)
                    send_one(events[i].handle);
                break;
            case CMWS_EVENT_READABLE:
                receive_all(events[i].handle);
                break;
            case CMWS_EVENT_CLOSED:
                fprintf(stderr, "client: closed: %s\n", events[i].text);
                return 1;
            }
        }
        time = now(CLOCK_MONOTONIC) - begin;
        if (!counts && time >= warmup) {
            counts = 1;
            begin += time;
            cpu = now(CLOCK_PROCESS_CPUTIME_ID);
            messages_back = 0;
        } else if (counts && time >= seconds) {
            cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
            printf("{\"messages\": %" PRIu64 ", \"cpu_us\": %.1f, \"seconds\": %.3f}\n", messages_back,
                   cpu * 1e6, time);
            return 0;
        }
    }
}
