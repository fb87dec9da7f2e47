/* What TCP alone costs: every byte is sent back as it came, by one thread with epoll.
 *
 *     floor
 *
 * The first line printed is "LISTENING <port>".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, SIZE = 64 * 1024 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Sends all of it; the socket blocks where there is no room. */
static int send_all(int to, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(to, bytes, length, MSG_NOSIGNAL);
        if (sent < 0)
            return -1;
        bytes += sent;
        length -= (size_t)sent;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    static char bytes[SIZE];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    /* It waits for its turn, as the library's thread does, and finds more to read then. */
    struct sched_param priority = {0};
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0), on = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};

    if (argc > 1) {
        fprintf(stderr, "floor: no options: %s\n", argv[1]);
        return 2;
    }
    if (sched_setscheduler(0, SCHED_BATCH, &priority) != 0)
        fail("sched_setscheduler");
    if (listener < 0 || epoll < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 ||
        listen(listener, SOMAXCONN) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        fail("floor");
    printf("LISTENING %d\n", ntohs(address.sin_port));
    fflush(stdout);

    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            ssize_t got;
            if (fd == listener) {
                event.data.fd = accept(listener, NULL, NULL);
                if (event.data.fd < 0 ||
                    setsockopt(event.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
                    epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event) != 0)
                    fail("accept");
                continue;
            }
            got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
            if (got <= 0 || send_all(fd, bytes, (size_t)got) != 0)
                close(fd);
        }
    }
}
