/* pg_control of a view that nobody serves. */
#ifndef ASOFS_REPLAY_VIEWCONTROL_H
#define ASOFS_REPLAY_VIEWCONTROL_H

#include "pages/datadir.h"
#include "pg/control.h"

/* By pg_controldata; the calling thread has entered as the user of p. */
int viewcontrol_read(struct datadir *d, const struct pg_programs *p, struct pg_control *c,
                     struct err *err);

#endif
