/* The files of .asofs/, as text. The view is extracted. */
#ifndef ASOFS_VIEW_REPORT_H
#define ASOFS_VIEW_REPORT_H

#include "common/buf.h"
#include "view/view.h"

void report_snapshot(const struct view *v, struct buf *out);
void report_tables(const struct view *v, struct buf *out);
void report_errors(const struct view *v, struct buf *out);
void report_schema(const struct view *v, struct buf *out);

#endif
