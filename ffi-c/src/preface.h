/*
 * coromega_ws: WebSockets (RFC 6455) for programs that are scripted.
 *
 * One library holds every socket of a process on one background thread, whatever languages the
 * process speaks. Compile with `pkg-config --cflags --libs coromega_ws`, or link -lcoromega_ws.
 *
 * Statuses. Functions return CMWS_STATUS_OK (0) or another CMWS_STATUS_ number; outputs come last
 * and are written only on success. cmws_last_error_text() says more of the last failure on the
 * calling thread. `free` and `release` can't fail.
 *
 * Pointers. One that comes with a length, a count, a capacity or a size points to as much memory of
 * its type, aligned for it; it may be NULL where that number may be 0 and is, or where it is said.
 * An output that is NULL is answered with CMWS_STATUS_INVALID_ARGUMENT. What is passed belongs to the
 * call until it returns: no other thread changes an input or looks at an output meanwhile, and
 * outputs overlap nothing else that is passed.
 *
 * Texts go in as a pointer and a length in bytes, and need no NUL at the end. Times are in
 * milliseconds (`_ms`), sizes in bytes. Text is UTF-8.
 *
 * Handles are numbers below 2^53 that are never used twice in a process. 0 is never one. A stale
 * handle, one of another kind or an invented one is answered with CMWS_STATUS_INVALID_HANDLE; that
 * of a parent process, after a fork, with CMWS_STATUS_FORKED.
 *
 * Threads. Every function may be called from any thread, and none blocks, except
 * cmws_mailbox_poll (its timeout), cmws_mailbox_close (1 second at most) and cmws_mailbox_listen
 * (looking up a name). One thread at a time polls a mailbox. The library calls no code of yours,
 * installs no signal handler, and raises no SIGPIPE.
 *
 * Loading starts nothing; the background thread starts with the first connection or listener. The
 * library stays loaded until the process ends.
 *
 * The way of a program: make a mailbox, connect or listen with it, poll it. READABLE says that
 * messages wait: take them with cmws_connection_receive until there are none. A connection whose
 * messages nobody takes is not read on beyond `read_limit`, so that its peer has to wait.
 */
