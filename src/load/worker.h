/*
 * Delete workers and loader workers: processes of their own, with a connection of their own to the
 * second database. What a job is about they need not know: statements come ready-made, and a part of
 * a flat file as a descriptor with a place in it.
 *
 * Every job is one transaction, which also writes into schema asofs that it was done; so one that is
 * handed out once more, because nobody knows whether the first was committed, is found done.
 */
#ifndef ASOFS_LOAD_WORKER_H
#define ASOFS_LOAD_WORKER_H

/* The commands of asofs (crew_role.word). */
#define LOAD_DELETER "deleter"
#define LOAD_LOADER "loader"
#define LOAD_INSERTER "inserter" /* loads from tables of the same database (intosource.h) */

/* The life of one, started as a child (common/child.h); returns the exit status. */
int load_worker_main(const char *process_name);

#endif
