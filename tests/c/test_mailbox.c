/* Waiting: events come only through poll, and a wait can be ended in every way there is. */
#include "support.h"
#include "raw.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static cmws_handle_t shared_mailbox;
static int thread_polls;

static void *poll_for_ever(void *out_status)
{
    cmws_event_t event;
    size_t count = 0;
    __atomic_store_n(&thread_polls, 1, __ATOMIC_RELEASE);
    cmws_status_t *status = out_status;
    do /* whoever waits for this thread to poll may just be polling, too */
        *status = cmws_mailbox_poll(shared_mailbox, -1, &event, sizeof event, 1, &count);
    while (*status == CMWS_STATUS_BUSY);
    return NULL;
}

/* Starts a thread that polls the mailbox for ever, and waits until it does. */
static pthread_t start_poller(cmws_handle_t mailbox, cmws_status_t *out_status)
{
    pthread_t thread;
    cmws_event_t event;
    size_t count;
    int64_t end = now_ms() + PATIENCE;
    shared_mailbox = mailbox;
    CHECK(pthread_create(&thread, NULL, poll_for_ever, out_status) == 0);
    while (!__atomic_load_n(&thread_polls, __ATOMIC_ACQUIRE))
        sleep_ms(1);
    while (cmws_mailbox_poll(mailbox, 0, &event, sizeof event, 1, &count) != CMWS_STATUS_BUSY) {
        CHECK(now_ms() < end);
        sleep_ms(1);
    }
    return thread;
}

TEST(S5_a_second_thread_that_polls_is_told_busy)
{
    struct loop loop;
    cmws_status_t status = -1;
    pthread_t thread;
    loop_open(&loop);
    thread = start_poller(loop.mailbox, &status);
    CHECK_OK(cmws_mailbox_close(loop.mailbox));
    pthread_join(thread, NULL);
}

TEST(S5_closing_the_mailbox_wakes_its_poller)
{
    struct loop loop;
    cmws_status_t status = -1;
    pthread_t thread;
    int64_t start;
    loop_open(&loop);
    loop_listen(&loop, NULL);
    thread = start_poller(loop.mailbox, &status);
    start = now_ms();
    CHECK_OK(cmws_mailbox_close(loop.mailbox));
    pthread_join(thread, NULL);
    CHECK_STATUS(status, CMWS_STATUS_CLOSED);
    CHECK(now_ms() - start < 5000);
}

TEST(S5_nothing_is_told_outside_poll)
{
    struct pair pair;
    cmws_handle_t other;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(send_text(pair.client, "one"));
    CHECK_OK(send_text(pair.client, "two"));
    /* The messages wait in the inbox, whatever else is called meanwhile. */
    CHECK_OK(cmws_mailbox_new(&other));
    CHECK_OK(cmws_mailbox_flush(pair.server_loop.mailbox));
    loop_wait(&pair.server_loop, CMWS_EVENT_READABLE, pair.server);
    CHECK_RECEIVES(&pair.server_loop, pair.server, "one");
    CHECK_RECEIVES(&pair.server_loop, pair.server, "two");
}

static void ignore(int number)
{
    (void)number;
}

TEST(S3_a_signal_ends_the_wait)
{
    struct loop loop;
    struct sigaction action;
    int64_t start = now_ms();
    loop_open(&loop);
    loop_listen(&loop, NULL); /* the runtime's thread must not swallow it */
    memset(&action, 0, sizeof action);
    action.sa_handler = ignore;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    for (int i = 0; i < 3; i++) {
        alarm(1);
        CHECK_INT(loop_poll(&loop, PATIENCE), 0);
    }
    CHECK(now_ms() - start < PATIENCE);
}

static volatile sig_atomic_t interrupts;

static void interrupted(int number)
{
    (void)number;
    interrupts = interrupts + 1;
}

static void *interrupt_later(void *process)
{
    sleep_ms(300);
    kill(*(pid_t *)process, SIGINT);
    return NULL;
}

TEST(S3_a_signal_is_seen_in_full_traffic)
{
    struct pair pair;
    pid_t self = getpid();
    pthread_t thread;
    sigset_t set;
    int64_t end = now_ms() + PATIENCE;
    cmws_message_t messages[64];
    size_t count;
    struct sigaction action;
    pair_open(&pair, NULL, NULL);
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupted;
    sigaction(SIGINT, &action, NULL);
    /* The helper thread does not take the signal: the runtime's must not, this one must. */
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    CHECK(pthread_create(&thread, NULL, interrupt_later, &self) == 0);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    while (!interrupts) {
        CHECK(now_ms() < end);
        send_text(pair.client, "traffic");
        loop_poll(&pair.server_loop, 0);
        if (cmws_connection_receive(pair.server, messages, sizeof messages[0], 64, &count) ==
            CMWS_STATUS_OK)
            cmws_message_release(messages, sizeof messages[0], count);
        pair.server_loop.count = 0;
    }
    pthread_join(thread, NULL);
}

static bool readable(int fd, int timeout_ms)
{
    struct pollfd wait = {fd, POLLIN, 0};
    return poll(&wait, 1, timeout_ms) == 1;
}

TEST(S18_poll_returns_after_its_timeout_with_nothing)
{
    struct loop loop;
    int64_t start;
    loop_open(&loop);
    CHECK_INT(loop_poll(&loop, 0), 0);
    start = now_ms();
    CHECK_INT(loop_poll(&loop, 200), 0);
    CHECK(now_ms() - start >= 195);
    CHECK(now_ms() - start < 5000);
}

TEST(S18_a_timeout_takes_no_message)
{
    struct pair pair;
    cmws_message_t message;
    size_t count = 7;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(cmws_connection_receive(pair.server, &message, sizeof message, 1, &count));
    CHECK_INT(count, 0);
    loop_poll(&pair.server_loop, 50);
    CHECK_OK(send_text(pair.client, "late, but whole"));
    CHECK_RECEIVES(&pair.server_loop, pair.server, "late, but whole");
}

TEST(S18_a_message_beats_the_deadline)
{
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    CHECK_OK(send_text(pair.client, "here"));
    loop_wait(&pair.server_loop, CMWS_EVENT_READABLE, pair.server);
    CHECK_OK(cmws_mailbox_set_deadline(pair.server_loop.mailbox, 0));
    loop_poll(&pair.server_loop, 1000);
    CHECK_RECEIVES(&pair.server_loop, pair.server, "here");
}

TEST(S18_the_deadline_ends_poll_and_makes_the_fd_readable)
{
    struct loop loop;
    int fd;
    int64_t start;
    loop_open(&loop);
    CHECK_OK(cmws_mailbox_fd(loop.mailbox, &fd));
    CHECK(!readable(fd, 0));

    start = now_ms();
    CHECK_OK(cmws_mailbox_set_deadline(loop.mailbox, 150));
    CHECK(readable(fd, PATIENCE));
    CHECK(now_ms() - start >= 145);
    CHECK_INT(loop_poll(&loop, 0), 0);
    CHECK(!readable(fd, 20)); /* it fires once */

    start = now_ms();
    CHECK_OK(cmws_mailbox_set_deadline(loop.mailbox, 150));
    CHECK_INT(loop_poll(&loop, -1), 0);
    CHECK(now_ms() - start >= 145);

    CHECK_OK(cmws_mailbox_set_deadline(loop.mailbox, 50));
    CHECK_OK(cmws_mailbox_set_deadline(loop.mailbox, -1));
    CHECK(!readable(fd, 200));

    CHECK_OK(cmws_mailbox_set_deadline(loop.mailbox, 0));
    CHECK(readable(fd, PATIENCE));
}

TEST(S5_the_fd_is_readable_while_there_is_an_event)
{
    struct pair pair;
    int fd;
    pair_open(&pair, NULL, NULL);
    loop_poll(&pair.server_loop, 0);
    CHECK_OK(cmws_mailbox_fd(pair.server_loop.mailbox, &fd));
    for (int i = 0; i < 100; i++) {
        cmws_message_t message;
        CHECK_OK(send_text(pair.client, "wake up"));
        CHECK(readable(fd, PATIENCE));
        CHECK(readable(fd, 0));
        while (loop_poll(&pair.server_loop, 0) > 0)
            ;
        CHECK(loop_take(&pair.server_loop, CMWS_EVENT_READABLE, pair.server, NULL));
        CHECK(next_message(&pair.server_loop, pair.server, &message));
        release(&message);
        CHECK(!readable(fd, 0));
    }
}

TEST(S5_one_readable_event_until_the_inbox_was_empty)
{
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    for (int i = 0; i < 10; i++)
        CHECK_OK(send_text(pair.client, "again"));
    loop_wait(&pair.server_loop, CMWS_EVENT_READABLE, pair.server);
    loop_run(&pair.server_loop, 200);
    CHECK(!loop_take(&pair.server_loop, CMWS_EVENT_READABLE, pair.server, NULL));
    for (int i = 0; i < 10; i++)
        CHECK_RECEIVES(&pair.server_loop, pair.server, "again");
    CHECK_OK(send_text(pair.client, "new"));
    loop_wait(&pair.server_loop, CMWS_EVENT_READABLE, pair.server);
}
