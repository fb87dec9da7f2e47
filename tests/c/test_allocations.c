/* Memory that is used again: what the allocator is asked for, counted. */
#include "support.h"
#include "raw.h"

#include <errno.h>
#include <sys/socket.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_ANOTHER_ALLOCATOR true
static long allocations;
#else
#define HAS_ANOTHER_ALLOCATOR (slowness() > 1) /* valgrind's */
static long allocations;

/* A program's own allocator serves the libraries as well. This one is the C library's, and counts. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static void count_one(void)
{
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    count_one();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_one();
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    count_one();
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count_one();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    count_one();
    *out = __libc_memalign(alignment, size);
    return *out == NULL ? ENOMEM : 0;
}
#endif

static long count_allocations(void)
{
    return __atomic_load_n(&allocations, __ATOMIC_RELAXED);
}

enum { SIZE = 125, FRAME = 6 + SIZE, BATCH = 64 };

/* Has so many messages sent, `batch` at a time, taken, sent back if asked to, and released. Returns the
 * allocations meanwhile: none of them is made here. */
static long exchange(struct loop *loop, cmws_handle_t server, int fd, int count, int batch, bool echo)
{
    long before = count_allocations();
    static const unsigned char head[6] = {0x82, 0x80 | SIZE};
    unsigned char frames[BATCH * FRAME] = {0}, answers[BATCH * (FRAME - 4)];
    for (int i = 0; i < BATCH; i++)
        memcpy(frames + i * FRAME, head, sizeof head);
    for (int sent = 0; sent < count; sent += batch) {
        raw_write(fd, frames, (size_t)batch * FRAME);
        for (size_t taken = 0, got; taken < (size_t)batch; taken += got) {
            cmws_message_t messages[BATCH];
            loop_wait(loop, CMWS_EVENT_READABLE, server);
            CHECK_OK(cmws_connection_receive(server, messages, sizeof messages[0], BATCH, &got));
            for (size_t i = 0; echo && i < got; i++)
                CHECK_OK(cmws_connection_send(server, messages[i].kind, messages[i].data,
                                              messages[i].length, 0));
            cmws_message_release(messages, sizeof messages[0], got);
        }
        CHECK_OK(cmws_mailbox_flush(loop->mailbox));
        if (echo)
            CHECK(recv(fd, answers, (size_t)batch * (FRAME - 4), MSG_WAITALL) == batch * (FRAME - 4));
    }
    return count_allocations() - before;
}

TEST(S29_small_messages_that_are_taken_and_released_allocate_nothing)
{
    enum { COUNT = 64000 };
    struct loop loop;
    if (HAS_ANOTHER_ALLOCATOR)
        test_skip("something else watches over the allocator here");
    loop_open(&loop);
    cmws_handle_t listener = loop_listen(&loop, NULL);
    long before = count_allocations();
    int fd = raw_open(listener_port(listener));
    cmws_handle_t server = loop_accept(&loop, listener);
    CHECK(count_allocations() - before > 10); /* the library's are counted */
    /* The first ones warm it up. */
    exchange(&loop, server, fd, COUNT / 10, BATCH, false);
    long received = exchange(&loop, server, fd, COUNT, BATCH, false);
    exchange(&loop, server, fd, COUNT / 10, 16, true);
    long echoed = exchange(&loop, server, fd, COUNT, 16, true);
    printf("%ld allocations for %d messages, %ld for as many that are sent back\n", received, COUNT, echoed);
    CHECK(received < COUNT / 100);
    CHECK(echoed < COUNT / 100);
}
