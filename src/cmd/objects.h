/* asofs extract --large-objects: a directory out of the large objects of asofs copy. */
#ifndef ASOFS_CMD_OBJECTS_H
#define ASOFS_CMD_OBJECTS_H

#include "view/source.h"

/* name: of the copy; NULL: the only one there is. Returns the exit status. */
int objects_extract(const struct source *source, const char *name, const char *dir);

#endif
