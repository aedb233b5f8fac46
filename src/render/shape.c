/* point, lseg, path, box, polygon, line, circle (geo_decls.h). A point is x and y, float8 each. */
#include <stdint.h>

#include "render/bytes.h"
#include "render/shortest.h"
#include "render/work.h"

#define POINT 16 /* bytes of one */

static char *put_float(char *p, const char *bytes)
{
    struct shortest s = render_shortest_double(bytes_u64(bytes));

    return render_shortest_put(&s, p);
}

/* Numbers with commas between them. */
static void put_floats(struct out *o, const char *bytes, size_t n)
{
    char *p = out_place(o, n * (SHORTEST_MAX + 1));
    size_t i;

    for (i = 0; i < n; i++) {
        if (i)
            *p++ = ',';
        p = put_float(p, bytes + i * 8);
    }
    o->n = (size_t)(p - o->p);
}

/* (x,y),(x,y) */
static void put_points(struct out *o, const char *bytes, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (i)
            out_putc(o, ',');
        out_putc(o, '(');
        put_floats(o, bytes + i * POINT, 2);
        out_putc(o, ')');
    }
}

static int refuse_length(struct render_work *w)
{
    return render_fail(w, "a shape is not as long as it says");
}

static int put_point(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct out *o)
{
    (void)t;
    if (v.len != POINT)
        return refuse_length(w);
    put_points(o, v.p, 1);
    return 0;
}

static int put_lseg(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    (void)t;
    if (v.len != 2 * POINT)
        return refuse_length(w);
    out_putc(o, '[');
    put_points(o, v.p, 2);
    out_putc(o, ']');
    return 0;
}

static int put_box(struct render_work *w, const struct render_type *t, struct render_value v,
                   struct out *o)
{
    (void)t;
    if (v.len != 2 * POINT)
        return refuse_length(w);
    put_points(o, v.p, 2);
    return 0;
}

/* A, B and C of Ax + By + C = 0. */
static int put_line(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    (void)t;
    if (v.len != 24)
        return refuse_length(w);
    out_putc(o, '{');
    put_floats(o, v.p, 3);
    out_putc(o, '}');
    return 0;
}

/* The middle, then the radius. */
static int put_circle(struct render_work *w, const struct render_type *t, struct render_value v,
                      struct out *o)
{
    (void)t;
    if (v.len != POINT + 8)
        return refuse_length(w);
    out_putc(o, '<');
    put_points(o, v.p, 1);
    out_putc(o, ',');
    put_floats(o, v.p + POINT, 1);
    out_putc(o, '>');
    return 0;
}

/* The number of points comes first, as 32 bits; they themselves behind a head of some bytes. 0:
 * they are not as many. */
static size_t count_points(struct render_value v, size_t head)
{
    size_t n = v.len >= head ? bytes_u32(v.p) : 0;

    return v.len == head + n * POINT ? n : 0;
}

/* PATH: points, then if it is closed, 32 bits, and as many unused. */
static int put_path(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    size_t n = count_points(v, 12);

    (void)t;
    if (n == 0)
        return refuse_length(w);
    out_putc(o, bytes_u32(v.p + 4) ? '(' : '[');
    put_points(o, v.p + 12, n);
    out_putc(o, bytes_u32(v.p + 4) ? ')' : ']');
    return 0;
}

/* POLYGON: points, then the box around it. */
static int put_polygon(struct render_work *w, const struct render_type *t, struct render_value v,
                       struct out *o)
{
    size_t n = count_points(v, 36);

    (void)t;
    if (n == 0)
        return refuse_length(w);
    out_putc(o, '(');
    put_points(o, v.p + 36, n);
    out_putc(o, ')');
    return 0;
}

static const struct render_ops point_ops = {.put = put_point};
static const struct render_ops lseg_ops = {.put = put_lseg};
static const struct render_ops path_ops = {.put = put_path};
static const struct render_ops box_ops = {.put = put_box};
static const struct render_ops polygon_ops = {.put = put_polygon};
static const struct render_ops line_ops = {.put = put_line};
static const struct render_ops circle_ops = {.put = put_circle};

const struct render_builtin render_shapes[] = {
    {600, 16, 'd', ',', false, &point_ops},   /* point */
    {601, 32, 'd', ',', false, &lseg_ops},    /* lseg */
    {602, -1, 'd', ',', false, &path_ops},    /* path */
    {603, 32, 'd', ';', false, &box_ops},     /* box */
    {604, -1, 'd', ',', false, &polygon_ops}, /* polygon */
    {628, 24, 'd', ',', false, &line_ops},    /* line */
    {718, 24, 'd', ',', false, &circle_ops},  /* circle */
    {0},
};
