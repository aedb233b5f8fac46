/*
 * The snapshot worker: `asofs worker`, started as a child (common/child.h) with
 * WORKER_FD_SPOOL open. It lives as long as its socket.
 */
#ifndef ASOFS_EXTRACT_WORKER_H
#define ASOFS_EXTRACT_WORKER_H

/* The exit status: 0 when the coordinator closed the socket, 1 when the worker could not go on. */
int worker_main(void);

#endif
