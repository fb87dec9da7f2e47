/* What can be counted: writes, and whose turn it is. No figure here is a time. */
#include "support.h"
#include "raw.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 125, FRAME = 6 + SIZE, LARGE = 16384, LARGE_FRAME = 8 + LARGE, BATCH = 64 };

/* Fills in so many frames of SIZE or LARGE bytes with the masking key 0; returns their length. */
static size_t make_frames(unsigned char *to, size_t size, size_t count)
{
    static const unsigned char small[6] = {0x82, 0x80 | SIZE}, large[8] = {0x82, 0xfe, LARGE >> 8};
    const unsigned char *head = size == SIZE ? small : large;
    size_t frame = size == SIZE ? FRAME : LARGE_FRAME;
    memset(to, '.', count * frame);
    for (size_t i = 0; i < count; i++)
        memcpy(to + i * frame, head, frame - size);
    return count * frame;
}

/* Takes a batch of messages, and sends them back if asked to; returns how many there were. */
static size_t take_batch(cmws_handle_t connection, bool echo)
{
    cmws_message_t messages[BATCH];
    size_t count;
    CHECK_OK(cmws_connection_receive(connection, messages, sizeof messages[0], BATCH, &count));
    for (size_t i = 0; echo && i < count; i++)
        CHECK_OK(cmws_connection_send(connection, messages[i].kind, messages[i].data,
                                      messages[i].length, 0));
    cmws_message_release(messages, sizeof messages[0], count);
    return count;
}

/* How many segments with data came. Without delay (TCP_NODELAY) each write makes one. */
static long segments(int fd)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    CHECK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0);
    CHECK(length >= offsetof(struct tcp_info, tcpi_data_segs_in) + sizeof info.tcpi_data_segs_in);
    return info.tcpi_data_segs_in;
}

/* Sends `depth` messages at a time, `rounds` times, and returns how many segments the answers took. */
static long echo_rounds(struct loop *loop, cmws_handle_t server, int fd, size_t size, size_t depth,
                        int rounds)
{
    static unsigned char frames[3 * LARGE_FRAME], answers[3 * LARGE_FRAME];
    size_t length = make_frames(frames, size, depth);
    ssize_t answered = (ssize_t)(length - 4 * depth);
    long before = segments(fd);
    for (int round = 0; round < rounds; round++) {
        raw_write(fd, frames, length);
        for (size_t taken = 0; taken < depth;) {
            loop_wait(loop, CMWS_EVENT_READABLE, server);
            taken += take_batch(server, true);
        }
        CHECK_OK(cmws_mailbox_flush(loop->mailbox));
        CHECK(recv(fd, answers, (size_t)answered, MSG_WAITALL) == answered);
    }
    return segments(fd) - before;
}

/* How many writes an echo takes for each message of so many that come together. */
static double writes(size_t size, size_t depth)
{
    enum { ROUNDS = 1000 };
    struct loop loop;
    if (slowness() > 1)
        test_skip("what is kept back leaves after 2 ms, and this takes longer here");
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, NULL);
    int fd = raw_open(listener_port(listener));
    cmws_handle_t server = loop_accept(&loop, listener);
    /* One at a time: this is how a write for each message looks. */
    CHECK_INT(echo_rounds(&loop, server, fd, size, 1, ROUNDS), ROUNDS);
    double each = (double)echo_rounds(&loop, server, fd, size, depth, ROUNDS) / (double)(depth * ROUNDS);
    printf("%.4f writes for each message\n", each);
    return each;
}

TEST(S20_a_tenth_of_a_write_for_each_message_at_depth_16)
{
    CHECK(writes(SIZE, 16) <= 0.1);
}

TEST(S20_payloads_of_16_KiB_that_come_together_leave_together)
{
    CHECK(writes(LARGE, 3) <= 0.5);
}

/* The library's thread looks at all sockets with this, and then reads those that have something. What
 * it puts into the inbox of `flooded` between two looks is what others have to wait for. */
static cmws_handle_t flooded;
static uint64_t last_count, longest_turn;

int epoll_wait(int epoll, struct epoll_event *events, int capacity, int timeout)
{
    cmws_handle_t connection = __atomic_load_n(&flooded, __ATOMIC_ACQUIRE);
    if (connection != 0) {
        uint64_t now = info_of(connection).messages_received;
        if (now - last_count > longest_turn)
            __atomic_store_n(&longest_turn, now - last_count, __ATOMIC_RELEASE);
        last_count = now;
    }
    return epoll_pwait(epoll, events, capacity, timeout, NULL);
}

enum { FLOOD = 300000, CHUNK = 1000 };

static void *flood(void *fd)
{
    unsigned char *frames = malloc(CHUNK * FRAME);
    size_t length = make_frames(frames, SIZE, CHUNK);
    for (int i = 0; i < FLOOD / CHUNK; i++)
        raw_write(*(int *)fd, frames, length);
    free(frames);
    return NULL;
}

TEST(S29_a_quiet_connection_waits_for_one_batch_of_one_that_floods)
{
    struct loop loop;
    pthread_t thread;
    size_t taken = 0, most = 0;
    uint64_t sent = 0;
    cmws_options_t options = options_default();
    options.read_limit = 1 << 30; /* nothing stops the flood */
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, &options);
    int flooding = raw_open(listener_port(listener));
    cmws_handle_t loud = loop_accept(&loop, listener);
    int fd = raw_open(listener_port(listener));
    cmws_handle_t quiet = loop_accept(&loop, listener);
    __atomic_store_n(&flooded, loud, __ATOMIC_RELEASE);
    CHECK(pthread_create(&thread, NULL, flood, &flooding) == 0);
    while (taken < FLOOD) {
        size_t between = 0;
        raw_send(fd, OP_TEXT, true, "quiet", 5);
        sent++;
        while (!loop_take(&loop, CMWS_EVENT_READABLE, quiet, NULL)) {
            /* A batch of the one, then a look at what there is of the others. */
            bool is_there = info_of(quiet).messages_received == sent;
            size_t count = take_batch(loud, false);
            taken += count;
            between += is_there ? count : 0;
            loop_poll(&loop, count > 0 ? 0 : 1);
        }
        CHECK_RECEIVES(&loop, quiet, "quiet");
        most = between > most ? between : most;
    }
    pthread_join(thread, NULL);
    printf("%llu messages between two looks at all sockets, %zu between two of the program\n",
           (unsigned long long)__atomic_load_n(&longest_turn, __ATOMIC_ACQUIRE), most);
    CHECK(most <= BATCH);
    CHECK(__atomic_load_n(&longest_turn, __ATOMIC_ACQUIRE) <= 65536 / FRAME + 1);
}
