/* Unix sockets, in both roles. */
#include "dial.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A folder of this test's own, and the path of a socket in it. */
static void socket_path(char *folder, char *path, size_t capacity)
{
    strcpy(folder, "/tmp/cmws-test-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, capacity, "%s/a.sock", folder);
}

TEST(S10_a_unix_socket_serves_both_roles)
{
    char folder[64], path[100], host[128], address[160];
    struct loop server_loop;
    struct stat file;
    cmws_handle_t listener, second, connection, server;
    cmws_connection_info_t info;
    cmws_address_t bound;
    loop_open(&loop);
    loop_open(&server_loop);
    socket_path(folder, path, sizeof path);
    snprintf(host, sizeof host, "unix:%s", path);
    CHECK_OK(cmws_mailbox_listen(server_loop.mailbox, host, strlen(host), 0, NULL, &listener));
    CHECK_OK(cmws_listener_address(listener, sizeof bound, &bound));
    CHECK_TEXT(bound.host, host);
    CHECK_INT(bound.port, 0);
    CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, host, strlen(host), 0, NULL, &second),
                 CMWS_STATUS_LISTEN);
    CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, host, strlen(host), 80, NULL, &second),
                 CMWS_STATUS_INVALID_ARGUMENT);

    snprintf(address, sizeof address, "ws+unix://%s:/p/q?r=s", path);
    connection = dial(address, NULL);
    server = loop_accept(&server_loop, listener);
    loop_wait(&loop, CMWS_EVENT_OPEN, connection);
    info = info_of(server);
    CHECK_INT(info.path_length, 4);
    CHECK(memcmp(info.path, "/p/q", 4) == 0);
    CHECK(info.query_length == 3 && memcmp(info.query, "r=s", 3) == 0);
    CHECK_INT(info.peer.port, 0);
    CHECK_TEXT(info.peer.host, "");
    CHECK_OK(send_text(connection, "up"));
    CHECK_RECEIVES(&server_loop, server, "up");
    CHECK_OK(send_text(server, "down"));
    CHECK_RECEIVES(&loop, connection, "down");

    CHECK(stat(path, &file) == 0 && S_ISSOCK(file.st_mode));
    CHECK_OK(cmws_listener_close(listener, "", 0));
    CHECK(stat(path, &file) != 0);
    CHECK_OK(send_text(connection, "more")); /* what is open stays open */
    CHECK_RECEIVES(&server_loop, server, "more");
    CHECK_SAYS(fails(dial(address, NULL), CMWS_STATUS_TCP).text, "connect to ws+unix:///tmp/");
    CHECK(rmdir(folder) == 0);
}

TEST(S10_a_stale_unix_socket_is_replaced)
{
    char folder[64], path[100], host[128];
    struct sockaddr_un name = {0};
    struct stat file;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cmws_handle_t listener;
    loop_open(&loop);
    socket_path(folder, path, sizeof path);
    snprintf(host, sizeof host, "unix:%s", path);
    name.sun_family = AF_UNIX;
    strcpy(name.sun_path, path);
    CHECK(bind(fd, (struct sockaddr *)&name, sizeof name) == 0 && listen(fd, 1) == 0);
    CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, host, strlen(host), 0, NULL, &listener),
                 CMWS_STATUS_LISTEN);
    close(fd);
    CHECK_OK(cmws_mailbox_listen(loop.mailbox, host, strlen(host), 0, NULL, &listener));
    cmws_mailbox_close(loop.mailbox);
    CHECK(stat(path, &file) != 0);

    loop_open(&loop);
    fclose(fopen(path, "w")); /* a file that is no socket stays */
    CHECK_STATUS(cmws_mailbox_listen(loop.mailbox, host, strlen(host), 0, NULL, &listener),
                 CMWS_STATUS_LISTEN);
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
}
