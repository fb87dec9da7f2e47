/* A host in C: a mailbox that a thread of its own polls. Any thread may tell it what to do. */
#ifndef C_HOST_H
#define C_HOST_H

#define _GNU_SOURCE

#include <coromega_ws.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum { ROOM = 12, LISTENERS = 4, CONNECTIONS = 512, PAIRS = 8, WINDOW = 8 };
enum behaviour { ECHO, TAKE, DEAF, FREE_IT, SLOW, CLOSE, FLOOD, DROP, PARTS };
enum role { CLIENT, SERVER, ROLES };

struct conn {
    cmws_handle_t handle; /* 0: the place is free */
    enum behaviour behaviour;
    bool open, kept;
    int flooded;
    int64_t since, deadline; /* by when it must have opened or ended; 0: no matter */
    bool within, half;       /* of what it receives: within a message, and one that must not come whole */
    /* What it sends in fragments, if message is not 0: so many more parts of that size. */
    uint64_t message;
    int parts;
    size_t size;
    bool finishes;
};

struct listener {
    cmws_handle_t handle;
    enum behaviour behaviour;
    char review[8];
};

/* One end of a pair. Broken off: a message stays half, this one's or the other end's. */
struct end {
    cmws_handle_t handle, listener;
    enum role role;
    bool open, stopping, done, breaking, leaves_half;
    int64_t sent, received, next; /* next: when the client goes on */
    /* What has come of a message, or all of it; the server's keeps that for which there was no room. */
    uint8_t *text;
    size_t length;
    uint32_t kind;
    bool whole;
    /* The message that it sends in fragments, if not 0, and how much of it. */
    uint64_t message;
    size_t written;
};

struct host {
    cmws_handle_t mailbox;
    pthread_t thread;
    pthread_mutex_t lock;
    bool ending;
    int heard; /* records of the log */
    struct conn conns[CONNECTIONS];
    struct listener listeners[LISTENERS];
    struct end ends[PAIRS][ROLES];
    char failure[300]; /* the first thing that must not be */
};

int64_t now_ms(void);
void host_failed(struct host *host, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The n-th of the connections that are kept, counted around. */
struct conn *conn_nth(struct host *host, int n);
/* Options as lines of name=value; what is no number is a text. */
bool options_read(cmws_options_t *options, const char *lines);

/* Whether a message has come whole with this part. One that stays half must not. */
bool came_whole(struct host *host, struct conn *conn, const cmws_message_t *part);
cmws_status_t begin(struct conn *conn, uint32_t kind, uint32_t flags, size_t size, int parts, bool finishes);
/* Goes on with what a connection sends in fragments: with one of them in a round. */
void write_on(struct host *host, struct conn *conn);

/* True if the event is a record of the log. */
bool log_event(struct host *host, const cmws_event_t *event);

/* The pairs' half of an event and of a round; true if the handle is one of theirs. */
bool pair_event(struct host *host, const cmws_event_t *event);
void pair_round(struct host *host);

#endif
