/*
 * The snapshot worker: `asofs worker`, started by a coordinator, with WORKER_FD_SOCKET, WORKER_FD_SPOOL and
 * perhaps WORKER_FD_OUT open. It lives as long as its socket.
 */
#ifndef ASOFS_EXTRACT_WORKER_H
#define ASOFS_EXTRACT_WORKER_H

/* The exit status: 0 when the coordinator closed the socket, 1 when the worker could not go on. */
int worker_main(void);

#endif
