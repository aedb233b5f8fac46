/* asofs worker, deleter, loader, inserter: internal; a coordinator starts them (extract/worker.h,
 * load/worker.h). */
#include "cmd/cmd.h"

#include <stdlib.h>

#include "common/child.h"
#include "common/log.h"
#include "common/mem.h"
#include "extract/worker.h"
#include "load/worker.h"

static int refuse_hand(void)
{
    log_error("this is started by asofs itself, not by hand");
    return EXIT_USAGE;
}

int cmd_worker(int argc, char **argv)
{
    (void)argv;
    log_set_name("asofs worker");
    return argc == 1 && child_was_started(true) ? worker_main() : refuse_hand();
}

int cmd_load_worker(int argc, char **argv)
{
    char *name = mem_printf("asofs-%s", argv[0]);
    int status;

    log_set_name("asofs worker");
    status = argc == 1 && child_was_started(false) ? load_worker_main(name) : refuse_hand();
    free(name);
    return status;
}
