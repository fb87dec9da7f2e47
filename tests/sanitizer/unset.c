/* A program with a fault: the last byte of its address was never set, and the library decides by it.
 * Valgrind reports that, if it watches over the library.
 */
#include <coromega_ws.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    static const char text[] = "ws://127.0.0.1:1/";
    size_t length = sizeof text - 1;
    char *address = malloc(length + 1);
    cmws_handle_t mailbox, connection;

    if (address == NULL || cmws_mailbox_new(&mailbox) != CMWS_STATUS_OK)
        return 1;
    memcpy(address, text, length);
    cmws_mailbox_connect(mailbox, address, length + 1, NULL, 0, NULL, &connection);
    puts("nobody noticed");
    return 0;
}
