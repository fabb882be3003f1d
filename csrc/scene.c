/* Drawing what is dirty of a plane, band by band of LW_BAND rows: from the top layer down it is noted what is to be drawn,
 * leaving out what opaque parts of layers above will hide; then the notes are drawn from the bottom up, while the band is
 * in the first cache. */
#include <string.h>

#include "dsp.h"
#include "scene.h"

#define MAX_OPEN 8 /* parts of a band that nothing hides yet */
#define MAX_STROKES (LW_MAX_LAYERS * (LW_MAX_PIECES + MAX_OPEN) + MAX_OPEN)

typedef struct stroke {
    int16_t layer; /* -1: what lies under everything */
    int16_t solid;
    lw_box box;
} stroke;

static lw_box band_at(const lw_scene *s, int32_t y)
{
    return (lw_box){0, y, s->width, y + LW_BAND < s->height ? y + LW_BAND : s->height};
}

void lw_scene_begin(lw_scene *s, int32_t width, int32_t height, int dirty)
{
    s->count = 0;
    s->width = width;
    s->height = height;
    for (int32_t y = 0; y < height; y += LW_BAND)
        s->dirty[y / LW_BAND] = dirty ? band_at(s, y) : (lw_box){0};
}

void lw_scene_dirty(lw_scene *s, const lw_placed *p)
{
    const int32_t y1 = p->y1 < s->height ? p->y1 : s->height;
    for (int32_t y = (p->y0 > 0 ? p->y0 : 0) / LW_BAND * LW_BAND; y < y1; y += LW_BAND) {
        const lw_box band = band_at(s, y), b = lw_placed_box(p, &band);
        lw_box *d = &s->dirty[y / LW_BAND];
        if (b.x0 >= b.x1)
            continue;
        if (d->x0 >= d->x1) {
            *d = b;
            continue;
        }
        d->x0 = b.x0 < d->x0 ? b.x0 : d->x0;
        d->y0 = b.y0 < d->y0 ? b.y0 : d->y0;
        d->x1 = b.x1 > d->x1 ? b.x1 : d->x1;
        d->y1 = b.y1 > d->y1 ? b.y1 : d->y1;
    }
}

/* Notes the part of the box that is open. */
static int note(stroke *to, int count, const lw_extent *open, int opens, int layer, int solid, const lw_box *box)
{
    for (int k = 0; k < opens; k++) {
        const int32_t x0 = box->x0 > open[k].x0 ? box->x0 : open[k].x0;
        const int32_t x1 = box->x1 < open[k].x1 ? box->x1 : open[k].x1;
        if (x0 < x1)
            to[count++] = (stroke){(int16_t)layer, (int16_t)solid, {x0, box->y0, x1, box->y1}};
    }
    return count;
}

/* Takes [x0, x1) out of the open parts, unless that would make too many of them. */
static int hide(lw_extent *open, int opens, int32_t x0, int32_t x1)
{
    for (int k = 0; k < opens; k++) {
        if (x0 >= open[k].x1 || x1 <= open[k].x0)
            continue;
        if (x0 <= open[k].x0 && x1 >= open[k].x1) {
            open[k--] = open[--opens];
        } else if (x0 > open[k].x0 && x1 < open[k].x1) {
            if (opens < MAX_OPEN) {
                open[opens++] = (lw_extent){x1, open[k].x1};
                open[k].x1 = x0;
            }
        } else if (x0 <= open[k].x0) {
            open[k].x0 = x1;
        } else {
            open[k].x1 = x0;
        }
    }
    return opens;
}

/* What a part of a band is made of, the top layer first. Returns how many strokes. */
static int plan(const lw_scene *s, const lw_box *part, stroke *strokes)
{
    lw_extent open[MAX_OPEN] = {{part->x0, part->x1}};
    int opens = 1, count = 0;
    for (int32_t i = s->count - 1; i >= 0 && opens; i--) {
        lw_box box = *part;
        lw_run runs[LW_MAX_PIECES], pieces[LW_MAX_PIECES];
        const int n = lw_placed_runs(&s->at[i], &box, runs);
        if (!n)
            continue;
        const int whole = box.y0 == part->y0 && box.y1 == part->y1;
        memcpy(pieces, runs, (size_t)n * sizeof *runs);
        const int drawn = lw_runs_join(pieces, n, lw_placed_split(&s->at[i]));
        for (int k = 0; k < drawn; k++) {
            box.x0 = pieces[k].x0;
            box.x1 = pieces[k].x1;
            count = note(strokes, count, open, opens, i, pieces[k].solid, &box);
        }
        for (int k = 0; k < n && whole; k++)
            if (runs[k].solid)
                opens = hide(open, opens, runs[k].x0, runs[k].x1);
    }
    return note(strokes, count, open, opens, -1, 1, part);
}

/* The background, or nothing. */
static void lay(const lw_surface *to, const lw_box *box)
{
    const ptrdiff_t at = (ptrdiff_t)box->y0 * to->pitch + box->x0;
    const int32_t n = box->x1 - box->x0, rows = box->y1 - box->y0;
    lw_patch patch = {.dst_pitch = to->pitch, .pitch = to->pitch, .count = to->count, .n = n, .rows = rows};
    for (int k = 0; k < to->count && to->under[0]; k++) {
        patch.dst[k] = to->plane[k] + at;
        patch.value[k] = to->under[k] + at;
    }
    if (to->under[0]) {
        lw_kernels.blend(&patch);
        return;
    }
    uint8_t *const planes[3] = {to->plane[0], to->plane[1], to->alpha};
    for (int k = 0; k < 3; k++)
        for (int32_t j = 0; j < rows && planes[k]; j++)
            memset(planes[k] + at + (ptrdiff_t)j * to->pitch, 0, (size_t)n);
}

int lw_scene_paint(const lw_scene *s, const lw_surface *to, lw_plane *own)
{
    stroke strokes[MAX_STROKES];
    int pixels = 0;
    for (int32_t band = 0; band * LW_BAND < s->height; band++) {
        const lw_box *part = &s->dirty[band];
        if (part->x0 >= part->x1)
            continue;
        pixels += (part->x1 - part->x0) * (part->y1 - part->y0);
        const int count = plan(s, part, strokes);
        /* Where it was opaque and still is, its alpha does not change. */
        const int covered = own && strokes[count - 1].layer >= 0 && lw_plane_covers(own, part);
        lw_surface on = *to;
        on.alpha = covered ? NULL : to->alpha;
        for (int k = count - 1; k >= 0; k--)
            if (strokes[k].layer >= 0)
                lw_placed_draw(&s->at[strokes[k].layer], &on, &strokes[k].box, strokes[k].solid);
            else
                lay(&on, &strokes[k].box);
        if (own && !covered)
            lw_plane_look(own, part);
    }
    return pixels;
}
