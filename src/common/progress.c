#include "common/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#define TERMINAL_EVERY_MS 100
#define LINE_EVERY_MS 5000

void progress_start(struct progress *p, bool quiet)
{
    *p = (struct progress){.quiet = quiet, .terminal = isatty(STDERR_FILENO) == 1};
    p->started = p->shown = clock_ms();
}

static int terminal_columns(void)
{
    struct winsize w;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 40)
        return w.ws_col;
    return 80;
}

static double share(const struct progress_state *s)
{
    if (s->total == 0)
        return 1;
    return s->done >= s->total ? 1 : (double)s->done / (double)s->total;
}

static void describe_progress(const struct progress *p, const struct progress_state *s, int64_t now,
                              char *text, size_t room)
{
    char size[32], rate[32], left[32];
    int64_t ms = now - p->started;
    double f = share(s);

    units_format_size(s->bytes, size, sizeof(size));
    units_format_size(ms > 0 ? s->bytes * 1000 / (uint64_t)ms : 0, rate, sizeof(rate));
    if (f > 0.01)
        units_format_seconds((int64_t)((double)ms * (1 - f) / f / 1000), left, sizeof(left));
    else
        snprintf(left, sizeof(left), "-:--");
    snprintf(text, room, "%3d%% %s %s/s left %s %u/%u table%s", (int)(f * 100), size, rate, left,
             s->files_done, s->files, units_s(s->files));
}

static void draw(const char *text, double f)
{
    int width = terminal_columns() - (int)strlen(text) - 4;
    int full, i;

    if (width > 40)
        width = 40;
    fputs("\r", stderr);
    if (width >= 5) {
        full = (int)(f * width);
        fputc('[', stderr);
        for (i = 0; i < width; i++)
            fputc(i < full ? '#' : '.', stderr);
        fputs("] ", stderr);
    }
    fprintf(stderr, "%s\033[K", text);
    fflush(stderr);
}

void progress_show(struct progress *p, const struct progress_state *s, int64_t now)
{
    char text[160];

    if (p->quiet || now - p->shown < (p->terminal ? TERMINAL_EVERY_MS : LINE_EVERY_MS))
        return;
    p->shown = now;
    describe_progress(p, s, now, text, sizeof(text));
    if (p->terminal) {
        draw(text, share(s));
        p->drawn = true;
    } else {
        log_note("%s", text);
    }
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
