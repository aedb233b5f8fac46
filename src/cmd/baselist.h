/* asofs base list: what there is in words, on standard output. */
#ifndef ASOFS_CMD_BASELIST_H
#define ASOFS_CMD_BASELIST_H

/* run_as: NULL: the owner of the store. Returns the exit status. */
int baselist_print(const char *store, const char *run_as);

#endif
