/*
 * Row filters, before they come near a server.
 *
 * A filter is put between parentheses in a statement of ours, so its own parentheses, quotes and
 * comments must not reach out of them. This looks at the tokens only; what they mean is the
 * server's to judge, who is asked to prepare the filter alone, by the extended protocol, before any
 * COPY holds it (pg_filter_check). Pure. Assumes standard_conforming_strings = on, which
 * pg_conn_prepare sets.
 */
#ifndef ASOFS_EXTRACT_FILTER_H
#define ASOFS_EXTRACT_FILTER_H

#include "common/err.h"

/*
 * 0, or -EINVAL with what is wrong: nothing there, unbalanced parentheses, an open quote, a
 * comment, a semicolon, a dollar sign outside quotes (dollar quotes, parameters), a control
 * character.
 */
int filter_check(const char *filter, struct err *err);

#endif
