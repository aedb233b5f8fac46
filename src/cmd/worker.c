/* asofs worker: internal; a coordinator starts it (extract/worker.h). */
#include "cmd/cmd.h"

#include "common/child.h"
#include "common/log.h"
#include "extract/worker.h"

int cmd_worker(int argc, char **argv)
{
    (void)argv;
    log_set_name("asofs worker");
    if (argc != 1 || !child_was_started(true)) {
        log_error("this is started by asofs itself, not by hand");
        return EXIT_USAGE;
    }
    return worker_main();
}
