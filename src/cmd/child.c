/* Internal. asofs child becomes one of PostgreSQL's programs (pg/programs.h); asofs guard looks at
 * a segment of the log before recovery does (replay/tablespaces.h). */
#include "cmd/cmd.h"
#include "common/log.h"
#include "pg/programs.h"
#include "replay/tablespaces.h"

int cmd_child(int argc, char **argv)
{
    log_set_name("asofs child");
    return pg_child_main(argc, argv);
}

int cmd_guard(int argc, char **argv)
{
    return tablespaces_guard_main(argc, argv);
}
