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
static uint8_t *make(int64_t n, size_t *out_length)
{
    long size = size_of(n);
    char *text = malloc((size_t)size * 2 + 32);
    int digits = sprintf(text, "%lld:", (long long)n);
    for (long i = 0; i < size; i++)
        memcpy(text + digits + i * 2, "\xc3\xbc", 2);
    *out_length = (size_t)(digits + size * 2);
    return (uint8_t *)text;
}

static uint32_t kind_of(int64_t n)
{
    return n % 3 == 0 ? CMWS_MESSAGE_BINARY : CMWS_MESSAGE_TEXT;
}

static void check(struct host *host, int pair, const struct end *end)
{
    size_t length;
    uint8_t *wanted = make(end->received, &length);
    if (end->kind != kind_of(end->received) || end->length != length || memcmp(end->text, wanted, length) != 0)
        host_failed(host, "pair %d, client in C: %.30s of %zu in place of message %lld", pair,
                    (const char *)end->text, end->length, (long long)end->received);
    free(wanted);
}

static void forget_text(struct end *end)
{
    free(end->text);
    end->text = NULL;
    end->length = 0;
    end->whole = false;
}

static void clear(struct end *end)
{
    forget_text(end);
    memset(end, 0, sizeof *end);
}

/* Takes a message, one part after the other if it comes in fragments. False: it is not whole yet. */
static bool receive(struct end *end)
{
    cmws_message_t part;
    size_t count;
    while (!end->whole) {
        if (cmws_connection_receive(end->handle, &part, sizeof part, 1, &count) != CMWS_STATUS_OK || count == 0)
            return false;
        end->text = realloc(end->text, end->length + part.length + 1);
        memcpy(end->text + end->length, part.data, part.length);
        end->length += part.length;
        end->text[end->length] = '\0';
        end->kind = part.kind;
        end->whole = !(part.flags & CMWS_MESSAGE_MORE);
        end->received += end->whole && end->role == SERVER;
        cmws_message_release(&part, sizeof part, 1);
    }
    return true;
}

/* Goes on with the message that has begun, at the place where there was no room; some have pauses. */
static cmws_status_t send_in_fragments(struct end *end, uint32_t kind, const uint8_t *text, size_t length)
{
    size_t size = length / 4 + 1;
    cmws_status_t status = CMWS_STATUS_OK;
    if (end->message == 0) {
        end->written = 0;
        status = cmws_connection_begin(end->handle, kind, 0, &end->message);
    }
    while (status == CMWS_STATUS_OK && end->written < length) {
        size = size < length - end->written ? size : length - end->written;
        status = cmws_connection_write(end->handle, end->message, text + end->written, size, 0);
        if (status == CMWS_STATUS_OK) {
            end->written += size;
            if (end->sent % 40 == 7)
                return CMWS_STATUS_WOULD_BLOCK; /* the next round goes on */
        }
    }
    if (status == CMWS_STATUS_OK)
        status = cmws_connection_finish(end->handle, end->message);
    if (status == CMWS_STATUS_OK)
        end->message = 0;
    return status;
}

/* Sends the next message; none once the pair has been broken off. False: not yet, or never. */
static bool send(struct host *host, int pair, struct end *end, uint32_t kind, const uint8_t *text, size_t length)
{
    cmws_status_t status = end->sent % 5 == 2 ? send_in_fragments(end, kind, text, length)
                                              : cmws_connection_send(end->handle, kind, text, length, 0);
    if (status == CMWS_STATUS_OK)
        end->sent++;
    else if (status != CMWS_STATUS_WOULD_BLOCK) {
        end->stopping = true;
        if (!(status == CMWS_STATUS_CLOSED && end->breaking))
            host_failed(host, "pair %d, %s in C: send: %s", pair, end->role == CLIENT ? "client" : "server",
                        cmws_status_name(status));
    }
    return status == CMWS_STATUS_OK;
}

static void client_round(struct host *host, int pair, struct end *end)
{
    while (receive(end)) {
        check(host, pair, end);
        forget_text(end);
        if (++end->received % WINDOW == 0)
            end->next = now_ms() + 5;
    }
    if (now_ms() < end->next)
        return;
    while (!end->stopping && end->sent - end->received < WINDOW) {
        size_t length;
        uint8_t *text = make(end->sent, &length);
        bool sent = send(host, pair, end, kind_of(end->sent), text, length);
        free(text);
        if (!sent)
            return;
    }
    if (end->stopping && !end->breaking && !end->done && end->sent == end->received) {
        end->done = true;
        cmws_connection_close(end->handle, 1000, NULL, 0);
    }
}

static void server_round(struct host *host, int pair, struct end *end)
{
    while (receive(end)) {
        if (!end->stopping && !send(host, pair, end, end->kind, end->text, end->length) && !end->stopping)
            return;
        forget_text(end);
    }
}

/* Breaks a pair off, with a message that stays half. Not within another one, nor while there is no room. */
static void leave_half(struct end *end)
{
    uint64_t message;
    if (end->message != 0 || cmws_connection_begin(end->handle, CMWS_MESSAGE_TEXT, 0, &message) != CMWS_STATUS_OK)
        return;
    end->leaves_half =
        cmws_connection_write(end->handle, message, (const uint8_t *)"half", 4, 0) != CMWS_STATUS_OK;
    end->stopping = !end->leaves_half;
    cmws_connection_abandon(end->handle, message);
}

void pair_round(struct host *host)
{
    for (int pair = 0; pair < PAIRS; pair++) {
        struct end *ends = host->ends[pair];
        for (int role = CLIENT; role <= SERVER; role++)
            if (ends[role].open && ends[role].leaves_half)
                leave_half(&ends[role]);
        if (ends[CLIENT].open)
            client_round(host, pair, &ends[CLIENT]);
        if (ends[SERVER].open)
            server_round(host, pair, &ends[SERVER]);
    }
}

static void ended(struct host *host, int pair, enum role role, const cmws_event_t *event)
{
    struct end *end = &host->ends[pair][role];
    bool fine = end->breaking ? event->close_code == 1011 && strcmp(event->text, "a message was not finished") == 0
                              : event->close_code == 1000 && (role == SERVER || end->done);
    if (!fine)
        host_failed(host, "pair %d, %s in C, ended: %d %s", pair, role == CLIENT ? "client" : "server",
                    event->close_code, event->text);
    /* What came before is there all the same. */
    if (role == CLIENT)
        client_round(host, pair, end);
    else
        server_round(host, pair, end);
    end->done = true;
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
    clear(end);
    end->role = SERVER;
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
    clear(end);
    if (options_read(&options, lines))
        status = cmws_mailbox_connect(host->mailbox, url, strlen(url), NULL, 0, &options, &end->handle);
    cmws_options_clear(&options);
    pthread_mutex_unlock(&host->lock);
    return status;
}

/* The number of an end that goes elsewhere, and not within a message that it sends: 0. What was taken
 * and not answered, or only in part, goes along. */
cmws_handle_t chaos_pair_give(struct host *host, int pair, int role, int64_t *out_sent, int64_t *out_received)
{
    struct end *end = &host->ends[pair][role];
    cmws_handle_t handle = 0;
    pthread_mutex_lock(&host->lock);
    if (end->message == 0) {
        if (end->text != NULL && cmws_connection_put_back(end->handle, end->kind, end->text, end->length,
                                                          end->whole ? 0 : CMWS_MESSAGE_MORE) != CMWS_STATUS_OK)
            host_failed(host, "pair %d: a message can't be put back", pair);
        end->received -= end->whole;
        forget_text(end);
        end->open = false;
        handle = end->handle;
        *out_sent = end->sent;
        *out_received = end->received;
    }
    pthread_mutex_unlock(&host->lock);
    return handle;
}

cmws_status_t chaos_pair_take(struct host *host, int pair, int role, cmws_handle_t handle, int64_t sent,
                              int64_t received)
{
    struct end *end = &host->ends[pair][role];
    cmws_status_t status;
    pthread_mutex_lock(&host->lock);
    clear(end);
    end->role = (enum role)role;
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
    clear(end);
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

/* Has an end leave a message half, or expect that the other one does. */
void chaos_pair_break(struct host *host, int pair, int role, int leaves_half)
{
    struct end *end = &host->ends[pair][role];
    pthread_mutex_lock(&host->lock);
    end->breaking = true;
    end->leaves_half = leaves_half;
    pthread_mutex_unlock(&host->lock);
}

/* Whether an end that was broken off has ended, and how far it came. */
int chaos_pair_broken(struct host *host, int pair, int role, int64_t *out_sent, int64_t *out_received)
{
    struct end *end = &host->ends[pair][role];
    int done;
    pthread_mutex_lock(&host->lock);
    done = end->done;
    *out_sent = end->sent;
    *out_received = end->received;
    pthread_mutex_unlock(&host->lock);
    return done;
}
