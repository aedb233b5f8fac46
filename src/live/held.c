#include "live/held.h"

void held_init(struct held_list *l)
{
    *l = (struct held_list){.most = HELD_MAX};
    pthread_mutex_init(&l->lock, NULL);
    l->ends.next = l->ends.prev = &l->ends;
}

void held_end(struct held_list *l)
{
    pthread_mutex_destroy(&l->lock);
}

static void take_out(struct held_list *l, struct held *h)
{
    h->prev->next = h->next;
    h->next->prev = h->prev;
    l->idle--;
}

static void put_last(struct held_list *l, struct held *h)
{
    h->prev = l->ends.prev;
    h->next = &l->ends;
    h->prev->next = h->next->prev = h;
    l->idle++;
}

static void close_it(struct held *h)
{
    h->open = false;
    h->shut(h);
}

bool held_pin(struct held_list *l, struct held *h)
{
    bool open;

    pthread_mutex_lock(&l->lock);
    open = h->open;
    if (open && h->pins++ == 0)
        take_out(l, h);
    pthread_mutex_unlock(&l->lock);
    return open;
}

void held_opened(struct held_list *l, struct held *h)
{
    pthread_mutex_lock(&l->lock);
    h->open = true;
    h->pins = 1;
    pthread_mutex_unlock(&l->lock);
}

void held_unpin(struct held_list *l, struct held *h)
{
    struct held *oldest;

    pthread_mutex_lock(&l->lock);
    if (--h->pins == 0)
        put_last(l, h);
    while (l->idle > l->most) {
        oldest = l->ends.next;
        take_out(l, oldest);
        close_it(oldest);
    }
    pthread_mutex_unlock(&l->lock);
}

void held_shut(struct held_list *l, struct held *h)
{
    pthread_mutex_lock(&l->lock);
    if (h->open) {
        if (h->pins == 0)
            take_out(l, h);
        close_it(h);
    }
    pthread_mutex_unlock(&l->lock);
}
