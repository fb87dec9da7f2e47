/* An echo server and a client with libwebsockets, in the form of its minimal echo examples: one
 * thread in the library's own event loop, buffers of 32 KiB, messages queued for the writeable
 * callback, which writes on while the pipe is not choked. Text is checked, as there.
 *
 *     PROGRAM [--tls CERT KEY] [--compress] [--broadcast]
 *     PROGRAM --client URL --size N --connections C --depth D --seconds S --warmup W
 */
#include <libwebsockets.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BUFFER = 32 * 1024, LARGEST_WRITE = 16 * 1024 * 1024 };

struct message {
    unsigned references;
    bool binary;
    size_t length, capacity;
    /* The header goes in front of the payload: LWS_PRE bytes are left for it. */
    unsigned char bytes[];
};

/* A connection of the server: what has come of a message, and what is to be sent. */
struct session {
    struct session *next, *previous;
    struct lws *wsi;
    struct message *partial, *sent;
    struct message **queue;
    unsigned first, count, capacity;
};

/* A connection of the client. */
struct load {
    size_t received;
    unsigned to_send;
};

static struct session sessions = {.next = &sessions, .previous = &sessions};
static bool broadcast, compress;

static unsigned char *payload;
static size_t size;
static unsigned depth;
static unsigned long messages;

static void fail(const char *what)
{
    fprintf(stderr, "libwebsockets: %s\n", what);
    exit(1);
}

static void *must(void *memory)
{
    if (memory == NULL)
        fail("out of memory");
    return memory;
}

static void release(struct message *message)
{
    if (message != NULL && --message->references == 0)
        free(message);
}

static void enqueue(struct session *session, struct message *message)
{
    if (session->count == session->capacity) {
        unsigned capacity = session->capacity ? session->capacity * 2 : 4;
        struct message **queue = must(malloc(capacity * sizeof *queue));
        for (unsigned i = 0; i < session->count; i++)
            queue[i] = session->queue[(session->first + i) % session->capacity];
        free(session->queue);
        session->queue = queue;
        session->first = 0;
        session->capacity = capacity;
    }
    session->queue[(session->first + session->count++) % session->capacity] = message;
    message->references++;
    lws_callback_on_writable(session->wsi);
}

static void receive(struct session *session, const void *bytes, size_t length)
{
    struct message *message = session->partial;
    size_t needed = (message ? message->length : 0) + length;

    if (message == NULL || message->capacity < needed) {
        /* Room for the rest of the frame; more only if there are more frames, or compressed ones. */
        size_t capacity = needed + lws_remaining_packet_payload(session->wsi);
        if (message != NULL && capacity < 2 * message->capacity)
            capacity = 2 * message->capacity;
        session->partial = must(realloc(message, sizeof *message + LWS_PRE + capacity));
        session->partial->capacity = capacity;
        if (message == NULL) {
            session->partial->references = 1;
            session->partial->length = 0;
            session->partial->binary = lws_frame_is_binary(session->wsi);
        }
        message = session->partial;
    }
    memcpy(message->bytes + LWS_PRE + message->length, bytes, length);
    message->length += length;
    if (!lws_is_final_fragment(session->wsi))
        return;
    session->partial = NULL;
    if (!broadcast)
        enqueue(session, message);
    else
        for (struct session *each = sessions.next; each != &sessions; each = each->next)
            enqueue(each, message);
    release(message);
}

static int send_queued(struct session *session)
{
    while (session->count > 0) {
        struct message *message = session->queue[session->first];
        int written = lws_write(session->wsi, message->bytes + LWS_PRE, message->length,
                                message->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
        if (written < (int)message->length)
            return -1;
        /* The extension goes on reading what is written, until the next message can be. */
        release(session->sent);
        session->sent = compress ? message : NULL;
        if (!compress)
            release(message);
        session->first = (session->first + 1) % session->capacity;
        session->count--;
        if (session->count > 0 && lws_send_pipe_choked(session->wsi)) {
            lws_callback_on_writable(session->wsi);
            break;
        }
    }
    return 0;
}

static int serve(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct session *session = user;

    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        session->wsi = wsi;
        session->next = &sessions;
        session->previous = sessions.previous;
        session->previous->next = sessions.previous = session;
        return 0;
    case LWS_CALLBACK_RECEIVE:
        receive(session, in, length);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return send_queued(session);
    case LWS_CALLBACK_CLOSED:
        session->next->previous = session->previous;
        session->previous->next = session->next;
        release(session->partial);
        release(session->sent);
        while (session->count > 0)
            release(session->queue[(session->first + --session->count) % session->capacity]);
        free(session->queue);
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, length);
    }
}

static int drive(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct load *load = user;

    switch (reason) {
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        load->to_send = depth;
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        load->received += length;
        if (!lws_is_final_fragment(wsi))
            return 0;
        if (load->received != size)
            fail("a message of another size came back");
        load->received = 0;
        messages++;
        load->to_send++;
        lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        while (load->to_send > 0) {
            /* The library masks in place: the payload changes, which nobody minds. */
            if (lws_write(wsi, payload + LWS_PRE, size, LWS_WRITE_BINARY) < (int)size)
                fail("could not write");
            load->to_send--;
            if (load->to_send > 0 && lws_send_pipe_choked(wsi)) {
                lws_callback_on_writable(wsi);
                break;
            }
        }
        return 0;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        fail(in ? in : "could not connect");
        return 0;
    case LWS_CALLBACK_CLIENT_CLOSED:
        fail("a connection ended");
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, length);
    }
}

static const struct lws_extension extensions[] = {
    {"permessage-deflate", lws_extension_callback_pm_deflate,
     "permessage-deflate; client_no_context_takeover; client_max_window_bits"},
    {NULL, NULL, NULL},
};

static void refuse(const char *what, const char *argument)
{
    fprintf(stderr, "libwebsockets: %s %s\n", what, argument);
    exit(2);
}

static int server(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {
        {.name = "echo", .callback = serve, .per_session_data_size = sizeof(struct session),
         .rx_buffer_size = BUFFER, .tx_packet_size = LARGEST_WRITE},
        {.name = NULL},
    };
    struct lws_context_creation_info info = {
        .port = 0,
        .iface = "127.0.0.1",
        .protocols = protocols,
        .pt_serv_buf_size = BUFFER,
        .options = LWS_SERVER_OPTION_VALIDATE_UTF8,
    };
    struct lws_context *context;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--compress") == 0) {
            compress = true;
            info.extensions = extensions;
        } else if (strcmp(argv[i], "--broadcast") == 0) {
            broadcast = true;
        } else if (strcmp(argv[i], "--tls") == 0 && i + 2 < argc) {
            info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
            info.ssl_cert_filepath = argv[++i];
            info.ssl_private_key_filepath = argv[++i];
        } else {
            refuse("unknown option, or a value missing:", argv[i]);
        }
    }
    context = lws_create_context(&info);
    if (context == NULL)
        fail("could not start");
    printf("LISTENING %d\n", lws_get_vhost_listen_port(lws_get_vhost_by_name(context, "default")));
    fflush(stdout);
    while (lws_service(context, 0) >= 0)
        ;
    return 1;
}

static double seconds_of(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* What had been reached when the window opened. */
static struct {
    unsigned long messages;
    double cpu, wall;
} before;

static void open_window(lws_sorted_usec_list_t *timer)
{
    (void)timer;
    before.messages = messages;
    before.cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    before.wall = seconds_of(CLOCK_MONOTONIC);
}

static void close_window(lws_sorted_usec_list_t *timer)
{
    (void)timer;
    printf("{\"messages\": %lu, \"cpu_us\": %.0f, \"seconds\": %.6f}\n", messages - before.messages,
           (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - before.cpu) * 1e6,
           seconds_of(CLOCK_MONOTONIC) - before.wall);
    exit(0);
}

static int client(int argc, char **argv)
{
    static const struct lws_protocols protocols[] = {
        {.name = "load", .callback = drive, .per_session_data_size = sizeof(struct load),
         .rx_buffer_size = BUFFER, .tx_packet_size = LARGEST_WRITE},
        {.name = NULL},
    };
    const char *names[] = {"--client", "--size", "--connections", "--depth", "--seconds", "--warmup"};
    enum { URL, SIZE, CONNECTIONS, DEPTH, SECONDS, WARMUP, NAMES };
    const char *values[NAMES] = {NULL};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN, .protocols = protocols, .pt_serv_buf_size = BUFFER};
    struct lws_client_connect_info to = {.ssl_connection = 0, .ietf_version_or_minus_one = -1};
    lws_sorted_usec_list_t opening = {0}, closing = {0};
    const char *scheme, *path;
    char *url;
    double warmup, seconds;

    for (int i = 1; i < argc; i += 2) {
        int which = 0;
        while (which < NAMES && strcmp(argv[i], names[which]) != 0)
            which++;
        if (which == NAMES || i + 1 == argc)
            refuse("unknown option, or a value missing:", argv[i]);
        values[which] = argv[i + 1];
    }
    for (int i = 0; i < NAMES; i++)
        if (values[i] == NULL)
            refuse("missing:", names[i]);
    size = strtoul(values[SIZE], NULL, 10);
    depth = (unsigned)strtoul(values[DEPTH], NULL, 10);
    warmup = strtod(values[WARMUP], NULL);
    seconds = strtod(values[SECONDS], NULL);
    payload = must(calloc(1, LWS_PRE + size));

    to.context = lws_create_context(&info);
    url = must(strdup(values[URL]));
    if (to.context == NULL || lws_parse_uri(url, &scheme, &to.address, &to.port, &path) != 0)
        fail("could not start");
    to.path = "/";
    to.host = to.origin = to.address;
    to.local_protocol_name = protocols[0].name;
    for (unsigned long i = strtoul(values[CONNECTIONS], NULL, 10); i > 0; i--)
        if (lws_client_connect_via_info(&to) == NULL)
            fail("could not connect");
    lws_sul_schedule(to.context, 0, &opening, open_window, (lws_usec_t)(warmup * 1e6));
    lws_sul_schedule(to.context, 0, &closing, close_window, (lws_usec_t)((warmup + seconds) * 1e6));
    while (lws_service(to.context, 0) >= 0)
        ;
    return 1;
}

int main(int argc, char **argv)
{
    lws_set_log_level(LLL_ERR, NULL);
    return argc > 1 && strcmp(argv[1], "--client") == 0 ? client(argc, argv) : server(argc, argv);
}
