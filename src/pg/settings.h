/* What the settings of a data directory say, as its own program reads them; no server is asked. */
#ifndef ASOFS_PG_SETTINGS_H
#define ASOFS_PG_SETTINGS_H

#include <stdbool.h>

#include "pg/programs.h"

/* Whether fsync is off in them. Where they lie elsewhere, nothing is known: false. */
bool pg_settings_without_fsync(const struct pg_programs *p, const char *data);

#endif
