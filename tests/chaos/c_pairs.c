/* The ends of pairs in a C host: numbered messages out, and each of them back in its order. */
#include "c_host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long size_of(int64_t n)
{
    if (n % 1009 == 1008)
        return 300000;
    if (n % 97 == 96)
        return 70000;
    return (long)(n * 7919 % 300);
}

/* Message n; to be freed. */
static char *make(int64_t n, size_t *out_length)
{
    long size = size_of(n);
    char *text = malloc((size_t)size + 32);
    int digits = sprintf(text, "%lld:", (long long)n);
    memset(text + digits, 'x', (size_t)size);
    *out_length = (size_t)(digits + size);
    return text;
}

static uint32_t kind_of(int64_t n)
{
    return n % 3 == 0 ? CMWS_MESSAGE_BINARY : CMWS_MESSAGE_TEXT;
}

static void check(struct host *host, int pair, const struct end *end, const cmws_message_t *message)
{
    size_t length;
    char *wanted = make(end->received, &length);
    if (message->kind != kind_of(end->received) || message->length != length ||
        memcmp(message->data, wanted, length) != 0)
        host_failed(host, "pair %d, client in C: %.30s of %zu in place of message %lld", pair,
                    (const char *)message->data, (size_t)message->length, (long long)end->received);
    free(wanted);
}

static void client_round(struct host *host, int pair, struct end *end)
{
    cmws_message_t message;
    size_t count;
    while (cmws_connection_receive(end->handle, &message, sizeof message, 1, &count) == CMWS_STATUS_OK &&
           count == 1) {
        check(host, pair, end, &message);
        cmws_message_release(&message, sizeof message, 1);
        if (++end->received % WINDOW == 0)
            end->next = now_ms() + 5;
    }
    if (now_ms() < end->next)
        return;
    while (!end->stopping && end->sent - end->received < WINDOW) {
        size_t length;
        char *text = make(end->sent, &length);
        cmws_status_t status =
            cmws_connection_send(end->handle, kind_of(end->sent), (const uint8_t *)text, length, 0);
        free(text);
        if (status == CMWS_STATUS_WOULD_BLOCK)
            return;
        if (status != CMWS_STATUS_OK) {
            host_failed(host, "pair %d, client in C: send: %s", pair, cmws_status_name(status));
            end->stopping = true;
            return;
        }
        end->sent++;
    }
    if (end->stopping && !end->done && end->sent == end->received) {
        end->done = true;
        cmws_connection_close(end->handle, 1000, NULL, 0);
    }
}

static void server_round(struct host *host, int pair, struct end *end)
{
    for (;;) {
        cmws_message_t *message = &end->message;
        cmws_status_t status;
        size_t count;
        if (message->data == NULL) {
            if (cmws_connection_receive(end->handle, message, sizeof *message, 1, &count) != CMWS_STATUS_OK ||
                count == 0)
                return;
            end->received++;
        }
        status = cmws_connection_send(end->handle, message->kind, message->data, message->length, 0);
        if (status == CMWS_STATUS_WOULD_BLOCK)
            return;
        if (status != CMWS_STATUS_OK)
            host_failed(host, "pair %d, server in C: send: %s", pair, cmws_status_name(status));
        end->sent++;
        cmws_message_release(message, sizeof *message, 1);
    }
}

void pair_round(struct host *host)
{
    for (int pair = 0; pair < PAIRS; pair++) {
        struct end *ends = host->ends[pair];
        if (ends[CLIENT].open)
            client_round(host, pair, &ends[CLIENT]);
        if (ends[SERVER].open)
            server_round(host, pair, &ends[SERVER]);
    }
}

static void ended(struct host *host, int pair, enum role role, const cmws_event_t *event)
{
    struct end *end = &host->ends[pair][role];
    if (event->close_code != 1000 || (role == CLIENT && !end->done))
        host_failed(host, "pair %d, %s in C, ended: %d %s", pair, role == CLIENT ? "client" : "server",
                    event->close_code, event->text);
    end->open = false;
}

bool pair_event(struct host *host, const cmws_event_t *event)
{
    for (int pair = 0; pair < PAIRS; pair++)
        for (int role = CLIENT; role <= SERVER; role++) {
            struct end *end = &host->ends[pair][role];
            size_t count;
            if (event->kind == CMWS_EVENT_ACCEPTED && end->listener == event->handle) {
                if (cmws_listener_accept(end->listener, &end->handle, 1, &count) == CMWS_STATUS_OK && count == 1) {
                    end->open = true;
                    cmws_listener_free(end->listener);
                    end->listener = 0;
                }
                return true;
            }
            if (end->handle != event->handle)
                continue;
            if (event->kind == CMWS_EVENT_OPEN)
                end->open = true;
            else if (event->kind == CMWS_EVENT_CLOSED)
                ended(host, pair, (enum role)role, event);
            return true;
        }
    return false;
}

int chaos_pair_listen(struct host *host, int pair, const char *lines)
{
    cmws_options_t options;
    cmws_address_t address;
    struct end *end = &host->ends[pair][SERVER];
    int port = 0;
    pthread_mutex_lock(&host->lock);
    memset(end, 0, sizeof *end);
    if (options_read(&options, lines) &&
        cmws_mailbox_listen(host->mailbox, "127.0.0.1", 9, 0, &options, &end->listener) == CMWS_STATUS_OK &&
        cmws_listener_address(end->listener, sizeof address, &address) == CMWS_STATUS_OK)
        port = address.port;
    cmws_options_clear(&options);
    pthread_mutex_unlock(&host->lock);
    return port;
}

cmws_status_t chaos_pair_connect(struct host *host, int pair, const char *url, const char *lines)
{
    cmws_options_t options;
    struct end *end = &host->ends[pair][CLIENT];
    cmws_status_t status = CMWS_STATUS_INVALID_ARGUMENT;
    pthread_mutex_lock(&host->lock);
    memset(end, 0, sizeof *end);
    if (options_read(&options, lines))
        status = cmws_mailbox_connect(host->mailbox, url, strlen(url), NULL, 0, &options, &end->handle);
    cmws_options_clear(&options);
    pthread_mutex_unlock(&host->lock);
    return status;
}

/* The number of an end that goes elsewhere; what was taken and not answered goes along. */
cmws_handle_t chaos_pair_give(struct host *host, int pair, int role, int64_t *out_sent, int64_t *out_received)
{
    struct end *end = &host->ends[pair][role];
    cmws_handle_t handle;
    pthread_mutex_lock(&host->lock);
    if (end->message.data != NULL) {
        if (cmws_connection_put_back(end->handle, end->message.kind, end->message.data, end->message.length,
                                     end->message.flags) !=
            CMWS_STATUS_OK)
            host_failed(host, "pair %d: a message can't be put back", pair);
        cmws_message_release(&end->message, sizeof end->message, 1);
        end->received--;
    }
    end->open = false;
    handle = end->handle;
    *out_sent = end->sent;
    *out_received = end->received;
    pthread_mutex_unlock(&host->lock);
    return handle;
}

cmws_status_t chaos_pair_take(struct host *host, int pair, int role, cmws_handle_t handle, int64_t sent,
                              int64_t received)
{
    struct end *end = &host->ends[pair][role];
    cmws_status_t status;
    pthread_mutex_lock(&host->lock);
    memset(end, 0, sizeof *end);
    status = cmws_connection_move(handle, host->mailbox, &end->handle);
    end->open = status == CMWS_STATUS_OK;
    end->sent = sent;
    end->received = received;
    pthread_mutex_unlock(&host->lock);
    return status;
}

void chaos_pair_forget(struct host *host, int pair, int role)
{
    struct end *end = &host->ends[pair][role];
    pthread_mutex_lock(&host->lock);
    cmws_connection_free(end->handle);
    memset(end, 0, sizeof *end);
    pthread_mutex_unlock(&host->lock);
}

/* How many messages came back; -1 while it goes on, though it is to stop. */
int64_t chaos_pair_progress(struct host *host, int pair, int role, int stop)
{
    struct end *end = &host->ends[pair][role];
    int64_t received;
    pthread_mutex_lock(&host->lock);
    end->stopping = end->stopping || stop;
    received = stop && !(end->done && !end->open) ? -1 : end->received;
    pthread_mutex_unlock(&host->lock);
    return received;
}
