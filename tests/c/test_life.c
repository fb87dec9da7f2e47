/* Lifetimes: what is let go of ends, what is loaded does nothing, and one runtime serves all. */
#include "support.h"
#include "raw.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static cmws_handle_t open_raw(struct loop *loop, int *out_fd)
{
    cmws_handle_t listener;
    loop_open(loop);
    listener = loop_listen(loop, NULL);
    *out_fd = raw_open(listener_port(listener));
    return loop_accept(loop, listener);
}

TEST(S27_a_connection_that_is_let_go_of_is_closed_with_1001)
{
    struct loop loop;
    struct frame frame;
    int fd;
    cmws_handle_t server = open_raw(&loop, &fd);
    cmws_connection_free(server);
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.code, 1001);
    raw_send_close(fd, true, 1001, "");
    CHECK(!raw_read(fd, &frame));
    loop_run(&loop, 100);
    CHECK(!loop_take(&loop, CMWS_EVENT_CLOSED, 0, NULL));
}

TEST(S27_the_end_of_a_mailbox_is_the_end_of_what_it_holds)
{
    struct loop loop;
    struct frame frame;
    int fd, waiting;
    uint16_t port;
    int64_t start;
    cmws_handle_t listener, server;
    loop_open(&loop);
    listener = loop_listen(&loop, NULL);
    port = listener_port(listener);
    fd = raw_open(port);
    server = loop_accept(&loop, listener);
    waiting = raw_open(port);
    loop_wait(&loop, CMWS_EVENT_ACCEPTED, listener);
    CHECK_OK(send_text(server, "goodbye"));
    start = now_ms();
    CHECK_OK(cmws_mailbox_close(loop.mailbox));
    CHECK(now_ms() - start < 5000);
    CHECK(raw_read(fd, &frame));
    CHECK_TEXT(frame.payload, "goodbye");
    CHECK(raw_read(fd, &frame));
    CHECK_INT(frame.code, 1001);
    CHECK(raw_read(waiting, &frame));
    CHECK_INT(frame.code, 1001);
    CHECK_STATUS(send_text(server, "gone"), CMWS_STATUS_INVALID_HANDLE);
}

TEST(S27_closing_a_mailbox_waits_at_most_a_second_for_a_peer_that_never_reads)
{
    struct loop loop;
    static uint8_t data[4000];
    int fd;
    int64_t start;
    cmws_handle_t server = open_raw(&loop, &fd);
    while (cmws_connection_send(server, CMWS_MESSAGE_BINARY, data, sizeof data, 0) ==
           CMWS_STATUS_OK)
        ;
    start = now_ms();
    CHECK_OK(cmws_mailbox_close(loop.mailbox));
    CHECK(now_ms() - start < 6000);
}

TEST(S27_nothing_is_left_of_many_mailboxes)
{
    struct pair keep;
    int threads, descriptors;
    int64_t end = now_ms() + PATIENCE;
    pair_open(&keep, NULL, NULL); /* the runtime's own descriptors are there now */
    threads = count_threads(NULL);
    descriptors = count_descriptors();
    for (int i = 0; i < 200; i++) {
        struct pair pair;
        pair_open(&pair, NULL, NULL);
        CHECK_OK(send_text(pair.client, "traffic"));
        CHECK_OK(send_text(pair.server, "traffic"));
        if (i % 2)
            cmws_connection_free(pair.client);
        CHECK_OK(cmws_mailbox_close(pair.server_loop.mailbox));
        CHECK_OK(cmws_mailbox_close(pair.client_loop.mailbox));
        free(pair.server_loop.seen);
        free(pair.client_loop.seen);
    }
    while (count_descriptors() > descriptors || count_threads(NULL) > threads) {
        CHECK(now_ms() < end);
        sleep_ms(20);
    }
}

TEST(S31_one_runtime_thread_for_all_mailboxes)
{
    struct pair one, two;
    pair_open(&one, NULL, NULL);
    pair_open(&two, NULL, NULL);
    CHECK_INT(count_threads("coromega-ws"), 1);
}

static void *use_handle(void *argument)
{
    cmws_handle_t connection = *(cmws_handle_t *)argument;
    CHECK_INT(info_of(connection).state, CMWS_STATE_OPEN);
    CHECK_OK(send_text(connection, "from another thread"));
    return NULL;
}

TEST(S31_a_handle_is_valid_everywhere_in_the_process)
{
    struct pair pair;
    pthread_t thread;
    pair_open(&pair, NULL, NULL);
    CHECK(pthread_create(&thread, NULL, use_handle, &pair.client) == 0);
    pthread_join(thread, NULL);
    CHECK_RECEIVES(&pair.server_loop, pair.server, "from another thread");
}

TEST(S32_no_thread_before_the_first_connection_or_listener)
{
    struct loop loop;
    cmws_address_t address;
    loop_open(&loop);
    loop_poll(&loop, 10);
    CHECK_OK(cmws_mailbox_set_deadline(loop.mailbox, 1));
    loop_poll(&loop, 100);
    CHECK_OK(cmws_mailbox_flush(loop.mailbox));
    CHECK(cmws_listener_address(1, sizeof address, &address) != CMWS_STATUS_OK);
    CHECK_INT(count_threads(NULL), 1);
    loop_listen(&loop, NULL);
    CHECK_INT(count_threads(NULL), 2);
}

TEST(S32_signal_handlers_are_left_alone)
{
    struct sigaction before[64], after;
    struct pair pair;
    for (int i = 1; i < 32; i++)
        sigaction(i, NULL, &before[i]);
    pair_open(&pair, NULL, NULL);
    for (int i = 1; i < 32; i++) {
        sigaction(i, NULL, &after);
        CHECK(after.sa_handler == before[i].sa_handler);
    }
}

TEST(S33_a_host_with_default_sigpipe_survives_a_reset)
{
    for (int i = 0; i < 50; i++) {
        struct loop loop;
        int fd;
        int64_t end = now_ms() + PATIENCE;
        cmws_handle_t server = open_raw(&loop, &fd);
        signal(SIGPIPE, SIG_DFL);
        raw_reset(fd);
        /* Writing directly, before the library has seen the end, and after. */
        while (send_text(server, "into the void") != CMWS_STATUS_CLOSED) {
            CHECK(now_ms() < end);
            if (i % 2)
                loop_poll(&loop, 1);
        }
        CHECK_INT(loop_wait(&loop, CMWS_EVENT_CLOSED, server).close_code, 1006);
        CHECK_OK(cmws_mailbox_close(loop.mailbox));
    }
}

TEST(S33_a_host_with_default_sigpipe_survives_a_broken_pipe)
{
    /* A peer that shuts its side down and then resets leaves EPIPE, not ECONNRESET. The inbox is
     * full, so that the runtime is not the first to see it. */
    char data[1000] = {0};
    cmws_options_t options = options_default();
    options.read_limit = sizeof data;
    for (int i = 0; i < 20; i++) {
        struct loop loop;
        cmws_handle_t listener, server;
        int fd;
        int64_t end = now_ms() + PATIENCE;
        loop_open(&loop);
        listener = loop_listen(&loop, &options);
        fd = raw_open(listener_port(listener));
        server = loop_accept(&loop, listener);
        signal(SIGPIPE, SIG_DFL);
        raw_send(fd, OP_BINARY, true, data, sizeof data);
        loop_wait(&loop, CMWS_EVENT_READABLE, server);
        shutdown(fd, SHUT_WR);
        raw_reset(fd);
        while (send_text(server, "into the void") != CMWS_STATUS_CLOSED)
            CHECK(now_ms() < end);
        CHECK_OK(cmws_mailbox_close(loop.mailbox));
    }
}

/* A process that ends while messages fly: how it ends is told by the harness. */
static struct pair traffic;

static void *send_for_ever(void *connection)
{
    for (;;)
        send_text(*(cmws_handle_t *)connection, "traffic");
    return NULL;
}

static void start_traffic(void)
{
    static pthread_t threads[2];
    pair_open(&traffic, NULL, NULL);
    CHECK(pthread_create(&threads[0], NULL, send_for_ever, &traffic.client) == 0);
    CHECK(pthread_create(&threads[1], NULL, send_for_ever, &traffic.server) == 0);
    CHECK_RECEIVES(&traffic.server_loop, traffic.server, "traffic");
}

TEST(S33_exit_in_full_traffic)
{
    start_traffic();
    alarm(10);
    exit(0); /* with exit handlers and destructors, as a return from main */
}

TEST(S33_closing_the_mailboxes_in_full_traffic)
{
    int64_t start;
    start_traffic();
    start = now_ms();
    CHECK_OK(cmws_mailbox_close(traffic.server_loop.mailbox));
    CHECK_OK(cmws_mailbox_close(traffic.client_loop.mailbox));
    CHECK(now_ms() - start < 6000);
    CHECK_STATUS(send_text(traffic.client, "x"), CMWS_STATUS_INVALID_HANDLE);
}
