/* S34: both sides of a fork. */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `child` in a forked process, whose failures are its exit status. */
static pid_t in_child(void (*child)(struct pair *), struct pair *pair)
{
    pid_t pid;
    fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        child(pair);
        _exit(0);
    }
    return pid;
}

static void expect_success(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}

static void exchange(struct pair *pair, const char *text)
{
    CHECK_OK(send_text(pair->client, text));
    CHECK_RECEIVES(&pair->server_loop, pair->server, text);
    CHECK_OK(send_text(pair->server, text));
    CHECK_RECEIVES(&pair->client_loop, pair->client, text);
}

static void use_handles_of_the_parent(struct pair *pair)
{
    cmws_handle_t mailbox = pair->client_loop.mailbox, handles[2];
    cmws_connection_info_t info;
    cmws_message_t message;
    cmws_address_t address;
    cmws_header_t header;
    cmws_event_t event;
    size_t count;
    int32_t fd;
    const char *url = "ws://127.0.0.1:1/";
    CHECK_STATUS(send_text(pair->client, "lost?"), CMWS_STATUS_FORKED);
    CHECK_TEXT(cmws_last_error_text(), "forked");
    CHECK_STATUS(cmws_connection_receive(pair->client, &message, sizeof message, 1, &count),
                 CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_connection_close(pair->client, 1000, NULL, 0), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_connection_info(pair->server, sizeof info, &info), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_connection_header(pair->server, 0, sizeof header, &header), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_listener_accept(pair->listener, handles, 2, &count), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_listener_address(pair->listener, sizeof address, &address), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_listener_reload(pair->listener), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_listener_close(pair->listener, NULL, 0), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_mailbox_poll(mailbox, -1, &event, sizeof event, 1, &count), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_mailbox_fd(mailbox, &fd), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_mailbox_flush(mailbox), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_mailbox_set_deadline(mailbox, 1), CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_mailbox_connect(mailbox, url, strlen(url), NULL, 0, NULL, &handles[0]),
                 CMWS_STATUS_FORKED);
    CHECK_STATUS(cmws_mailbox_listen(mailbox, "127.0.0.1", 9, 0, NULL, &handles[0]), CMWS_STATUS_FORKED);
    cmws_connection_free(pair->client);
    cmws_listener_free(pair->listener);
    CHECK_STATUS(cmws_mailbox_close(mailbox), CMWS_STATUS_FORKED);
}

static void use_handles_of_its_own(struct pair *parents)
{
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    CHECK(pair.client != parents->client && pair.server != parents->server);
    exchange(&pair, "from the child");
    CHECK_INT(count_threads("coromega-ws"), 1);
    /* With a runtime of its own, too, what is the parent's stays so. */
    use_handles_of_the_parent(parents);
    exchange(&pair, "from the child, again");
    CHECK_OK(cmws_mailbox_close(pair.client_loop.mailbox));
    CHECK_OK(cmws_mailbox_close(pair.server_loop.mailbox));
}

static void wait_to_be_killed(struct pair *pair)
{
    (void)pair;
    for (;;)
        pause();
}

TEST(S34_a_child_may_not_use_what_is_its_parent_s)
{
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    exchange(&pair, "before");
    expect_success(in_child(use_handles_of_the_parent, &pair));
    exchange(&pair, "after");
}

TEST(S34_a_child_has_a_runtime_of_its_own)
{
    struct pair pair;
    pair_open(&pair, NULL, NULL);
    for (int i = 0; i < 3; i++) {
        expect_success(in_child(use_handles_of_its_own, &pair));
        exchange(&pair, "meanwhile");
    }
}

static void open_a_pair(struct pair *pair)
{
    pair_open(pair, NULL, NULL);
    exchange(pair, "from the child");
}

TEST(S34_a_fork_before_the_first_use_changes_nothing)
{
    struct pair pair;
    pid_t pid = in_child(open_a_pair, &pair);
    pair_open(&pair, NULL, NULL);
    exchange(&pair, "from the parent");
    expect_success(pid);
}

/* A child that lives on and does nothing keeps nothing of the parent's open. */
TEST(S34_the_parent_s_ends_are_seen_though_a_child_lives)
{
    struct pair pair;
    struct seen end;
    pid_t pid;
    uint16_t port;
    cmws_handle_t second;
    pair_open(&pair, NULL, NULL);
    port = listener_port(pair.listener);
    pid = in_child(wait_to_be_killed, &pair);
    exchange(&pair, "after the fork");
    CHECK_OK(cmws_connection_close(pair.client, 4000, "bye", 3));
    CHECK_INT(loop_wait(&pair.server_loop, CMWS_EVENT_CLOSED, pair.server).close_code, 4000);
    CHECK_INT(loop_wait(&pair.client_loop, CMWS_EVENT_CLOSED, pair.client).status, CMWS_STATUS_OK);
    /* A listener that stops accepts nobody. */
    CHECK_OK(cmws_listener_close(pair.listener, NULL, 0));
    loop_wait(&pair.server_loop, CMWS_EVENT_DEAD, pair.listener);
    second = loop_connect(&pair.client_loop, port, NULL);
    end = loop_wait(&pair.client_loop, CMWS_EVENT_CLOSED, second);
    CHECK_SAYS(end.text, "refused");
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

/* Forks in full traffic, from a thread that does not use the library. */
TEST(S34_forks_in_full_traffic_disturb_nobody)
{
    struct pair pair;
    pid_t pids[20];
    size_t forked = 0;
    char text[32];
    pair_open(&pair, NULL, NULL);
    for (int i = 0; i < 2000; i++) {
        snprintf(text, sizeof text, "%d", i);
        CHECK_OK(send_text(pair.client, text));
        if (i % 100 == 50)
            pids[forked++] = in_child(use_handles_of_the_parent, &pair);
        CHECK_RECEIVES(&pair.server_loop, pair.server, text);
    }
    for (size_t i = 0; i < forked; i++)
        expect_success(pids[i]);
    CHECK_INT(forked, 20);
}
