#include "pages/layer.h"

#include <inttypes.h>
#include <stdio.h>

void layer_path(char path[LAYER_PATH_MAX], const char *kind, uint64_t id)
{
    snprintf(path, LAYER_PATH_MAX, "%s/%016" PRIx64, kind, id);
}
