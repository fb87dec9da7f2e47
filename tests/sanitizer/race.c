/* A program with a fault: two threads poll, each its own mailbox, and both have the event stored in
 * the same place. ThreadSanitizer reports it, if it watches over the library, and says as well that
 * the library held a lock meanwhile, if it was told of locks.
 */
#include <coromega_ws.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static cmws_event_t event;

static void *poll_one(void *mailbox)
{
    size_t count;
    cmws_mailbox_poll(*(cmws_handle_t *)mailbox, -1, &event, sizeof event, 1, &count);
    return NULL;
}

int main(void)
{
    static const char address[] = "ws://127.0.0.1:1/"; /* refused, which is an event */
    cmws_handle_t mailboxes[2], connection;
    pthread_t thread;

    for (int i = 0; i < 2; i++)
        if (cmws_mailbox_new(&mailboxes[i]) != CMWS_STATUS_OK ||
            cmws_mailbox_connect(mailboxes[i], address, strlen(address), NULL, 0, NULL,
                                 &connection) != CMWS_STATUS_OK)
            return 1;
    if (pthread_create(&thread, NULL, poll_one, &mailboxes[1]) != 0)
        return 1;
    poll_one(&mailboxes[0]);
    pthread_join(thread, NULL);
    puts("nobody noticed");
    return 0;
}
