/* The rest of a C host: connections that come and go, and the loop around its mailbox. */
#include "c_host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* No connect and no close takes longer than its own limit, which is a few seconds; this is the
 * patience with a busy machine. */
enum { PATIENCE_MS = 60000 };

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void host_failed(struct host *host, const char *format, ...)
{
    va_list arguments;
    if (host->failure[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(host->failure, sizeof host->failure, format, arguments);
    va_end(arguments);
}

bool options_read(cmws_options_t *options, const char *lines)
{
    bool fine = cmws_options_init(sizeof *options, options) == CMWS_STATUS_OK;
    while (fine && *lines != '\0') {
        size_t length = strcspn(lines, "\n"), name = strcspn(lines, "=");
        const char *value = lines + name + 1;
        size_t rest = length - name - 1;
        char *end, number[32];
        snprintf(number, sizeof number, "%.*s", (int)rest, value);
        double parsed = strtod(number, &end);
        if (*end == '\0')
            fine = cmws_options_set(options, lines, name, parsed) == CMWS_STATUS_OK;
        else
            fine = cmws_options_set_text(options, lines, name, value, rest) == CMWS_STATUS_OK;
        lines += length + (lines[length] == '\n');
    }
    return fine;
}

static struct conn *find(struct host *host, cmws_handle_t handle)
{
    for (int i = 0; i < CONNECTIONS; i++)
        if (host->conns[i].handle == handle)
            return &host->conns[i];
    return NULL;
}

static void let_go(struct conn *conn)
{
    cmws_connection_free(conn->handle);
    memset(conn, 0, sizeof *conn);
}

static void start_closing(struct conn *conn, uint16_t code)
{
    if (cmws_connection_close(conn->handle, code, "chaos", 5) == CMWS_STATUS_OK)
        conn->deadline = now_ms() + PATIENCE_MS;
    conn->kept = false;
}

struct conn *conn_nth(struct host *host, int n)
{
    int count = 0;
    for (int i = 0; i < CONNECTIONS; i++)
        count += host->conns[i].handle != 0 && host->conns[i].kept;
    if (count == 0)
        return NULL;
    n %= count;
    for (int i = 0; i < CONNECTIONS; i++)
        if (host->conns[i].handle != 0 && host->conns[i].kept && n-- == 0)
            return &host->conns[i];
    return NULL;
}

static void keep(struct host *host, cmws_handle_t handle, enum behaviour behaviour, bool open)
{
    struct conn *conn = find(host, 0), *oldest = NULL;
    int count = 0;
    if (behaviour == DROP || conn == NULL) {
        cmws_connection_free(handle);
        return;
    }
    *conn = (struct conn){.handle = handle, .behaviour = behaviour, .open = open, .kept = true, .since = now_ms()};
    conn->deadline = open ? 0 : conn->since + PATIENCE_MS;
    for (int i = 0; i < CONNECTIONS; i++) {
        struct conn *other = &host->conns[i];
        if (other->handle == 0 || !other->kept || other == conn)
            continue;
        count++;
        if (oldest == NULL || other->since < oldest->since)
            oldest = other;
    }
    if (count >= ROOM) {
        if (oldest->since % 2 != 0)
            start_closing(oldest, 1001);
        else
            let_go(oldest);
    }
}

static void answer(struct conn *conn, const cmws_message_t *message)
{
    uint8_t *text;
    if (message->length == 0 || message->data[0] != 'm')
        return; /* an answer is not answered again */
    text = malloc(message->length);
    memcpy(text, message->data, message->length);
    text[0] = 'e';
    cmws_connection_send(conn->handle, message->kind, text, message->length, CMWS_SEND_NOTIFY);
    free(text);
}

static void take(struct host *host, struct conn *conn, int most)
{
    cmws_message_t message;
    size_t count;
    while (most-- > 0 && conn->handle != 0 &&
           cmws_connection_receive(conn->handle, &message, sizeof message, 1, &count) == CMWS_STATUS_OK &&
           count == 1) {
        bool whole = came_whole(host, conn, &message);
        if (conn->behaviour == ECHO && whole)
            answer(conn, &message);
        else if (conn->behaviour == CLOSE)
            start_closing(conn, 4001);
        else if (conn->behaviour == FREE_IT)
            let_go(conn);
        cmws_message_release(&message, sizeof message, 1);
    }
}

static void flood(struct conn *conn)
{
    static const uint8_t text[2000];
    while (conn->flooded < 200) {
        if (cmws_connection_send(conn->handle, CMWS_MESSAGE_BINARY, text, (size_t)(conn->flooded * 37 % 2000), 0) !=
            CMWS_STATUS_OK)
            return;
        conn->flooded++;
    }
    if (conn->kept)
        start_closing(conn, 1000);
}

static void accept_all(struct host *host, cmws_handle_t handle)
{
    enum behaviour behaviour = TAKE;
    cmws_handle_t taken;
    size_t count;
    for (int i = 0; i < LISTENERS; i++)
        if (host->listeners[i].handle == handle)
            behaviour = host->listeners[i].behaviour;
    while (cmws_listener_accept(handle, &taken, 1, &count) == CMWS_STATUS_OK && count == 1)
        keep(host, taken, behaviour, true);
}

static void review(struct host *host, cmws_handle_t handle)
{
    cmws_connection_info_t info;
    const char *verdict = "refuse";
    if (cmws_connection_info(handle, sizeof info, &info) == CMWS_STATUS_OK)
        for (int i = 0; i < LISTENERS; i++)
            if (host->listeners[i].handle == info.listener)
                verdict = host->listeners[i].review;
    if (verdict[0] == 'a')
        cmws_connection_answer(handle, 101, NULL, 0, NULL, 0, NULL, 0);
    else if (verdict[0] == 'r')
        cmws_connection_answer(handle, 403, NULL, 0, NULL, 0, NULL, 0);
    else if (verdict[0] == 't')
        cmws_connection_free(handle);
}

static void on_event(struct host *host, const cmws_event_t *event)
{
    struct conn *conn;
    if (log_event(host, event) || pair_event(host, event))
        return;
    conn = find(host, event->handle);
    if (event->kind == CMWS_EVENT_ACCEPTED)
        accept_all(host, event->handle);
    else if (event->kind == CMWS_EVENT_REQUESTED)
        review(host, event->handle);
    else if (event->kind == CMWS_EVENT_CLOSED || event->kind == CMWS_EVENT_MOVED) {
        if (conn != NULL)
            let_go(conn);
        else
            cmws_connection_free(event->handle); /* a request whose client has left */
    } else if (event->kind == CMWS_EVENT_DEAD) {
        for (int i = 0; i < LISTENERS; i++)
            if (host->listeners[i].handle == event->handle)
                host->listeners[i].handle = 0;
        cmws_listener_free(event->handle);
    } else if (conn != NULL && event->kind == CMWS_EVENT_OPEN) {
        conn->open = true;
        conn->deadline = 0;
    }
}

static void round_of(struct host *host)
{
    int64_t now = now_ms();
    pair_round(host);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct conn *conn = &host->conns[i];
        if (conn->handle == 0)
            continue;
        if (conn->deadline != 0 && now > conn->deadline)
            host_failed(host, "C: connection %llu neither opens nor ends", (unsigned long long)conn->handle);
        write_on(host, conn);
        if (!conn->open || conn->behaviour == DEAF)
            continue;
        if (conn->behaviour == FLOOD)
            flood(conn);
        if (conn->behaviour == PARTS && conn->flooded++ == 0)
            begin(conn, CMWS_MESSAGE_TEXT, 0, 1000, 100, true);
        take(host, conn, conn->behaviour == SLOW ? 1 : 1000);
    }
}

static void *run(void *argument)
{
    struct host *host = argument;
    for (;;) {
        cmws_event_t events[32];
        size_t count = 0;
        cmws_status_t status = cmws_mailbox_poll(host->mailbox, 5, events, sizeof events[0], 32, &count);
        pthread_mutex_lock(&host->lock);
        if (status != CMWS_STATUS_OK && !host->ending)
            host_failed(host, "C: poll: %s", cmws_status_name(status));
        if (status != CMWS_STATUS_OK || host->ending) {
            pthread_mutex_unlock(&host->lock);
            return NULL;
        }
        for (size_t i = 0; i < count; i++)
            on_event(host, &events[i]);
        round_of(host);
        pthread_mutex_unlock(&host->lock);
    }
}

struct host *chaos_host_new(void)
{
    struct host *host = calloc(1, sizeof *host);
    pthread_mutex_init(&host->lock, NULL);
    if (cmws_mailbox_new(&host->mailbox) != CMWS_STATUS_OK || pthread_create(&host->thread, NULL, run, host) != 0)
        abort();
    return host;
}

/* Ends it with all that is open; abruptly: while its thread polls. */
void chaos_host_end(struct host *host, int abrupt)
{
    pthread_mutex_lock(&host->lock);
    host->ending = true;
    pthread_mutex_unlock(&host->lock);
    if (!abrupt)
        pthread_join(host->thread, NULL);
    cmws_mailbox_close(host->mailbox);
    if (abrupt)
        pthread_join(host->thread, NULL);
    for (int pair = 0; pair < PAIRS; pair++)
        for (int role = CLIENT; role <= SERVER; role++)
            free(host->ends[pair][role].text);
    free(host);
}

/* What must not have been, or an empty text. */
void chaos_host_failure(struct host *host, char *text, int capacity)
{
    pthread_mutex_lock(&host->lock);
    snprintf(text, (size_t)capacity, "%s", host->failure);
    host->failure[0] = '\0';
    pthread_mutex_unlock(&host->lock);
}

int chaos_listen(struct host *host, const char *place, const char *lines, int behaviour, const char *verdict)
{
    cmws_options_t options;
    cmws_address_t address;
    cmws_handle_t handle;
    int port = -1;
    pthread_mutex_lock(&host->lock);
    if (options_read(&options, lines) &&
        cmws_mailbox_listen(host->mailbox, place, strlen(place), 0, &options, &handle) == CMWS_STATUS_OK) {
        struct listener *where = &host->listeners[handle % LISTENERS];
        cmws_listener_free(where->handle);
        where->handle = handle;
        where->behaviour = (enum behaviour)behaviour;
        snprintf(where->review, sizeof where->review, "%s", verdict);
        if (cmws_listener_address(handle, sizeof address, &address) == CMWS_STATUS_OK)
            port = address.port;
    }
    cmws_options_clear(&options);
    pthread_mutex_unlock(&host->lock);
    return port;
}

cmws_status_t chaos_connect(struct host *host, const char *url, const char *lines, int behaviour)
{
    cmws_options_t options;
    cmws_handle_t handle;
    cmws_status_t status = CMWS_STATUS_INVALID_ARGUMENT;
    pthread_mutex_lock(&host->lock);
    if (options_read(&options, lines))
        status = cmws_mailbox_connect(host->mailbox, url, strlen(url), NULL, 0, &options, &handle);
    if (status == CMWS_STATUS_OK)
        keep(host, handle, (enum behaviour)behaviour, false);
    cmws_options_clear(&options);
    pthread_mutex_unlock(&host->lock);
    return status;
}

cmws_status_t chaos_send(struct host *host, int n, int binary, size_t size, int count, int compress)
{
    struct conn *conn;
    uint8_t *text = malloc(size + 1);
    cmws_status_t status = CMWS_STATUS_OK;
    memset(text, 'm', size + 1);
    pthread_mutex_lock(&host->lock);
    conn = conn_nth(host, n);
    for (int i = 0; conn != NULL && i < count && status == CMWS_STATUS_OK; i++)
        status = cmws_connection_send(conn->handle, binary ? CMWS_MESSAGE_BINARY : CMWS_MESSAGE_TEXT, text, size,
                                      CMWS_SEND_NOTIFY | (compress ? 0 : CMWS_SEND_UNCOMPRESSED));
    pthread_mutex_unlock(&host->lock);
    free(text);
    return status;
}

int chaos_send_to_many(struct host *host, int slow, size_t size)
{
    cmws_handle_t handles[CONNECTIONS];
    size_t count = 0, accepted = 0;
    uint8_t *text = malloc(size + 1);
    memset(text, 'm', size + 1);
    pthread_mutex_lock(&host->lock);
    for (int i = 0; i < CONNECTIONS; i++)
        if (host->conns[i].handle != 0)
            handles[count++] = host->conns[i].handle;
    pthread_mutex_unlock(&host->lock);
    cmws_connections_send(handles, count, CMWS_MESSAGE_TEXT, text, size, CMWS_SEND_NOTIFY, (uint32_t)slow, NULL,
                          &accepted);
    free(text);
    return (int)accepted;
}

/* What is done to one connection: closed with a code, let go, pinged, looked at or given away, whose
 * handle is returned. */
cmws_handle_t chaos_one(struct host *host, int what, int n, int code)
{
    cmws_handle_t handle = 0;
    cmws_connection_info_t info;
    struct conn *conn;
    pthread_mutex_lock(&host->lock);
    conn = conn_nth(host, n);
    if (conn != NULL) {
        handle = conn->handle;
        if (what == 'c')
            start_closing(conn, (uint16_t)code);
        else if (what == 'd')
            let_go(conn);
        else if (what == 'p')
            cmws_connection_ping(handle);
        else if (what == 'r')
            conn->behaviour = (enum behaviour)(n % FLOOD);
        else if (what == 'l')
            cmws_connection_info(handle, sizeof info, &info);
    }
    pthread_mutex_unlock(&host->lock);
    return handle;
}

cmws_status_t chaos_take(struct host *host, cmws_handle_t handle, int behaviour)
{
    cmws_handle_t moved;
    cmws_status_t status;
    pthread_mutex_lock(&host->lock);
    status = cmws_connection_move(handle, host->mailbox, &moved);
    if (status == CMWS_STATUS_OK && find(host, moved) == NULL)
        keep(host, moved, (enum behaviour)behaviour, true);
    pthread_mutex_unlock(&host->lock);
    return status;
}

/* What is done to one listener: closed, drained within so many seconds, let go, loaded anew. */
cmws_status_t chaos_listener(struct host *host, int what, int n, double drain)
{
    struct listener *where = &host->listeners[n % LISTENERS];
    cmws_handle_t handles[4];
    cmws_counters_t counters;
    size_t count;
    cmws_status_t status = CMWS_STATUS_OK;
    pthread_mutex_lock(&host->lock);
    if (what == 'r')
        status = cmws_listener_reload(where->handle);
    else if (what == 'l')
        status = cmws_listener_counters(where->handle, sizeof counters, &counters) |
                 cmws_listener_connections(where->handle, handles, 4, &count);
    else if (drain > 0)
        status = cmws_listener_drain(where->handle, drain, "chaos", 5);
    else if (n % 2 == 0)
        status = cmws_listener_close(where->handle, "chaos", 5);
    else {
        cmws_listener_free(where->handle);
        where->handle = 0;
    }
    pthread_mutex_unlock(&host->lock);
    return status;
}

/* Handles that are none, and arguments that are wrong. */
int chaos_misuse(struct host *host, uint64_t n)
{
    cmws_message_t message;
    cmws_handle_t handle, invented = n + ((uint64_t)1 << 40);
    size_t count;
    cmws_connection_free(invented);
    cmws_listener_free(invented);
    return cmws_connection_send(invented, CMWS_MESSAGE_TEXT, NULL, 0, 0) == CMWS_STATUS_INVALID_HANDLE &&
           cmws_connection_receive(invented, &message, sizeof message, 1, &count) == CMWS_STATUS_INVALID_HANDLE &&
           cmws_connection_move(invented, host->mailbox, &handle) == CMWS_STATUS_INVALID_HANDLE &&
           cmws_mailbox_close(invented) == CMWS_STATUS_INVALID_HANDLE &&
           cmws_mailbox_connect(host->mailbox, "http://x", 8, NULL, 0, NULL, &handle) ==
               CMWS_STATUS_INVALID_ADDRESS &&
           cmws_mailbox_poll(host->mailbox, 0, NULL, sizeof(cmws_event_t), 1, &count) != CMWS_STATUS_OK;
}
