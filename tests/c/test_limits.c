/* Memory stays bounded, whatever the peer does and however little the program takes. */
#include "support.h"
#include "raw.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static cmws_handle_t open_raw(struct loop *loop, const cmws_options_t *options, int *out_fd)
{
    cmws_handle_t listener;
    loop_open(loop);
    listener = loop_listen(loop, options);
    *out_fd = raw_open(listener_port(listener));
    return loop_accept(loop, listener);
}

/* Sends numbered messages until all are sent. */
struct flood {
    int fd, count;
    size_t length;
};

static void *send_flood(void *argument)
{
    struct flood *flood = argument;
    char *data = calloc(1, flood->length);
    for (int i = 0; i < flood->count; i++) {
        memcpy(data, &i, sizeof i);
        raw_send(flood->fd, OP_BINARY, true, data, flood->length);
    }
    free(data);
    return NULL;
}

/* A peer that sends 64 MiB while nobody takes them: memory stays bounded, and all arrive later. */
static void expect_bounded(size_t length)
{
    struct loop loop;
    struct flood flood;
    pthread_t thread;
    long before, most = 0;
    cmws_handle_t server;
    flood.length = length;
    flood.count = (int)((64 << 20) / length);
    server = open_raw(&loop, NULL, &flood.fd);
    before = resident_kib();
    CHECK(pthread_create(&thread, NULL, send_flood, &flood) == 0);
    for (int i = 0; i < 20; i++) {
        sleep_ms(50);
        if (resident_kib() > most)
            most = resident_kib();
    }
    CHECK(most - before < 12 * 1024);
    for (int i = 0; i < flood.count; i++) {
        cmws_message_t message;
        int number;
        CHECK(next_message(&loop, server, &message));
        CHECK_INT(message.length, length);
        memcpy(&number, message.data, sizeof number);
        CHECK_INT(number, i);
        release(&message);
        loop.count = 0;
    }
    pthread_join(thread, NULL);
    CHECK(resident_kib() - before < 16 * 1024);
}

TEST(S29_large_messages_that_nobody_takes)
{
    expect_bounded(100000);
}

TEST(S29_small_messages_that_nobody_takes)
{
    expect_bounded(512);
}

TEST(S29_others_go_on_while_one_is_paused)
{
    struct loop loop;
    struct flood flood = {0, 2000, 10000};
    pthread_t thread;
    int fd;
    cmws_handle_t listener, paused, lively;
    cmws_options_t options = options_default();
    options.read_limit = 50000;
    loop_open(&loop);
    listener = loop_listen(&loop, &options);
    flood.fd = raw_open(listener_port(listener));
    paused = loop_accept(&loop, listener);
    fd = raw_open(listener_port(listener));
    lively = loop_accept(&loop, listener);
    CHECK(pthread_create(&thread, NULL, send_flood, &flood) == 0);
    loop_wait(&loop, CMWS_EVENT_READABLE, paused);
    for (int i = 0; i < 1000; i++) {
        raw_send(fd, OP_TEXT, true, "lively", 6);
        CHECK_RECEIVES(&loop, lively, "lively");
    }
    for (int i = 0; i < flood.count; i++) {
        cmws_message_t message;
        CHECK(next_message(&loop, paused, &message));
        release(&message);
    }
    pthread_join(thread, NULL);
}

TEST(S29_the_read_limit_counts_each_message_as_its_length_and_64)
{
    /* Empty messages cost, too: 1,000,000 of them are 64 MB by that count. */
    struct loop loop;
    struct flood flood = {0, 0, 0};
    static unsigned char frames[6 * 10000];
    cmws_handle_t server;
    size_t taken = 0, count;
    long before;
    ssize_t sent = 0, n;
    cmws_message_t messages[256];
    cmws_options_t options = options_default();
    options.read_limit = 64 * 1000;
    server = open_raw(&loop, &options, &flood.fd);
    for (int i = 0; i < 10000; i++) {
        frames[i * 6] = 0x82;
        frames[i * 6 + 1] = 0x80;
    }
    before = resident_kib();
    for (int quiet = 0; quiet < 20;) {
        size_t at = (size_t)sent % sizeof frames;
        n = send(flood.fd, frames + at, sizeof frames - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            quiet++;
            sleep_ms(10);
            continue;
        }
        sent += n;
        quiet = 0;
        CHECK(sent < 64 << 20); /* the kernel's buffers are full long before */
    }
    CHECK(resident_kib() - before < 8 * 1024);
    /* What is in the inbox now: about a thousand, and what one read brought beyond. */
    do {
        CHECK_OK(cmws_connection_receive(server, messages, sizeof messages[0], 256, &count));
        cmws_message_release(messages, sizeof messages[0], count);
        taken += count;
    } while (count == 256 && taken < 20000);
    CHECK(taken >= 500);
}

TEST(S30_a_message_over_the_limit_ends_the_connection_with_1009)
{
    struct loop loop;
    struct frame frame;
    struct seen closed;
    char data[1001] = {0};
    int fd;
    cmws_options_t options = options_default();
    cmws_handle_t server;
    options.max_message_size = 1000;
    server = open_raw(&loop, &options, &fd);
    raw_send(fd, OP_BINARY, true, data, 1000);
    raw_send(fd, OP_BINARY, true, data, 1001);
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_CLOSE);
    CHECK_INT(frame.code, 1009);
    raw_send_close(fd, true, 1009, "");
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, server);
    CHECK_STATUS(closed.status, CMWS_STATUS_TOO_BIG);
    CHECK_INT(closed.close_code, 1009);
    { /* the message before it is whole */
        cmws_message_t message;
        CHECK(next_message(&loop, server, &message));
        CHECK_INT(message.length, 1000);
        release(&message);
        CHECK(!next_message(&loop, server, &message));
    }
}

TEST(S30_fragments_count_together)
{
    struct loop loop;
    struct frame frame;
    static const unsigned char start[] = {0x02, 0xfe, 0x02, 0x58, 0, 0, 0, 0}; /* 600 bytes */
    static const unsigned char more[] = {0x00, 0xfe, 0x02, 0x58, 0, 0, 0, 0};
    char data[600] = {0};
    int fd;
    cmws_options_t options = options_default();
    options.max_message_size = 1000;
    open_raw(&loop, &options, &fd);
    raw_write(fd, start, sizeof start);
    raw_write(fd, data, sizeof data);
    raw_write(fd, more, sizeof more);
    raw_write(fd, data, sizeof data);
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.opcode, OP_CLOSE);
    CHECK_INT(frame.code, 1009);
}

TEST(S30_a_declared_size_takes_no_memory)
{
    static const unsigned char declared[][8] = {
        {0, 0, 0, 0, 0, 0x10, 0, 1},                         /* one byte over 1 MiB */
        {0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff},                /* near 2^31 */
        {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},                /* near 2^32 */
        {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};   /* near 2^63 */
    for (size_t i = 0; i < sizeof declared / sizeof declared[0]; i++) {
        struct loop loop;
        struct frame frame;
        unsigned char head[14] = {0x82, 0xff};
        int fd;
        long before;
        open_raw(&loop, NULL, &fd);
        before = resident_kib();
        memcpy(head + 2, declared[i], 8);
        raw_write(fd, head, sizeof head);
        CHECK(raw_read(fd, &frame));
        CHECK_INT(frame.opcode, OP_CLOSE);
        CHECK_INT(frame.code, 1009);
        CHECK(resident_kib() - before < 600);
    }
}

TEST(S30_a_client_is_protected_too)
{
    struct loop loop;
    struct frame frame;
    struct seen closed;
    char data[1001] = {0};
    uint16_t port;
    int listener = raw_listen(&port), fd;
    cmws_options_t options = options_default();
    cmws_handle_t client;
    loop_open(&loop);
    options.max_message_size = 1000;
    client = loop_connect(&loop, port, &options);
    fd = raw_serve(listener);
    raw_send(fd, OP_BINARY, false, data, 1001);
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.code, 1009);
    close(fd);
    closed = loop_wait(&loop, CMWS_EVENT_CLOSED, client);
    CHECK_INT(closed.close_code, 1009);
}

TEST(S30_many_connections_that_declare_take_little)
{
    /* Each promises a megabyte and sends nothing of it. */
    enum { MANY = 100 };
    static int fds[MANY];
    unsigned char head[14] = {0x82, 0xff, 0, 0, 0, 0, 0, 0x0f, 0xff, 0xff};
    struct loop loop;
    cmws_handle_t listener;
    long before;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    for (int i = 0; i < MANY; i++) {
        fds[i] = raw_open(listener_port(listener));
        loop_accept(&loop, listener);
    }
    before = resident_kib();
    for (int i = 0; i < MANY; i++)
        raw_write(fds[i], head, sizeof head);
    loop_run(&loop, 300);
    CHECK(resident_kib() - before < 8 * 1024);
}
